-- Payments, refunds and what the payment provider told us of them: in the bucket of their order.
INSERT INTO marketplace.transition (entity, from_status, to_status) VALUES
    ('payment', 'pending', 'paid'),
    ('payment', 'pending', 'failed'),
    ('payment', 'paid', 'partially_refunded'),
    ('payment', 'paid', 'refunded'),
    ('payment', 'partially_refunded', 'refunded'),
    ('refund', 'pending', 'succeeded'),
    ('refund', 'pending', 'failed');

CREATE TABLE marketplace.payment (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    order_id uuid NOT NULL,
    customer uuid NOT NULL,
    garage uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('deposit', 'full')),
    amount numeric NOT NULL CHECK (amount > 0),
    -- Asked back so far, whether the provider has done it yet or not; a refund that failed is not in it.
    refunded numeric NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    currency text NOT NULL,
    minor_unit smallint NOT NULL,
    provider text NOT NULL,
    -- The provider's own name of it, as soon as the provider was told.
    reference text,
    client_secret text,
    failure text,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'paid', 'failed', 'refunded', 'partially_refunded')),
    created_at timestamptz NOT NULL DEFAULT now(),
    paid_at timestamptz,
    -- When the provider is asked to end it, if nobody has paid: pushed back at every try.
    due_at timestamptz NOT NULL DEFAULT now() + interval '1 hour',
    PRIMARY KEY (bucket, id),
    CONSTRAINT refunds_within_payment CHECK (refunded <= amount)
);
-- One live intent for each kind; and one at a time that is not decided, so that nobody pays twice.
CREATE UNIQUE INDEX one_live_payment ON marketplace.payment (bucket, order_id, kind) WHERE status <> 'failed';
CREATE UNIQUE INDEX one_pending_payment ON marketplace.payment (bucket, order_id) WHERE status = 'pending';
CREATE INDEX payment_due ON marketplace.payment (due_at) WHERE status = 'pending';
CREATE INDEX payment_order ON marketplace.payment (bucket, order_id, id);
SELECT meridian.shard_table('marketplace.payment');
CREATE TRIGGER transition BEFORE UPDATE ON marketplace.payment
    FOR EACH ROW EXECUTE FUNCTION marketplace.check_transition();

-- An order's `paid` and `refunded` are the sums over its payments: looked at when a statement that touched one is done with
-- all of its rows, so that no statement, whatever it is, can lose money on the way.
CREATE FUNCTION marketplace.payment_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM marketplace.orders o CROSS JOIN LATERAL (
            SELECT coalesce(sum(p.amount) FILTER (WHERE p.status NOT IN ('pending', 'failed')), 0) AS paid,
                coalesce(sum(p.refunded), 0) AS refunded
            FROM marketplace.payment p WHERE p.bucket = o.bucket AND p.order_id = o.id) AS sums
        WHERE o.bucket = NEW.bucket AND o.id = NEW.order_id
            AND (o.paid <> sums.paid OR o.refunded <> sums.refunded)) THEN
        RAISE EXCEPTION 'the books of order % do not balance', NEW.order_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'books_balance';
    END IF;
    IF NEW.status <> OLD.status AND NEW.status IN ('paid', 'failed') THEN
        PERFORM meridian.tell(NEW.bucket,
            'payment.' || CASE NEW.status WHEN 'paid' THEN 'succeeded' ELSE 'failed' END, NEW.id,
            jsonb_build_object('to', ARRAY[NEW.customer], 'order_id', NEW.order_id, 'kind', NEW.kind,
                'amount', NEW.amount::text, 'currency', NEW.currency));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER UPDATE OF status, refunded ON marketplace.payment
    FOR EACH ROW EXECUTE FUNCTION marketplace.payment_changed();

CREATE TABLE marketplace.refund (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    payment uuid NOT NULL,
    order_id uuid NOT NULL,
    customer uuid NOT NULL,
    amount numeric NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    minor_unit smallint NOT NULL,
    reason text NOT NULL,
    failure text,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'succeeded', 'failed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- When the provider is asked next: pushed back at every try.
    due_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, id)
);
CREATE INDEX refund_payment ON marketplace.refund (bucket, payment, id);
CREATE INDEX refund_due ON marketplace.refund (due_at) WHERE status = 'pending';
SELECT meridian.shard_table('marketplace.refund');
CREATE TRIGGER transition BEFORE UPDATE ON marketplace.refund
    FOR EACH ROW EXECUTE FUNCTION marketplace.check_transition();

CREATE FUNCTION marketplace.refund_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status AND NEW.status = 'succeeded' THEN
        PERFORM meridian.tell(NEW.bucket, 'payment.refunded', NEW.payment, jsonb_build_object(
            'to', ARRAY[NEW.customer], 'order_id', NEW.order_id, 'amount', NEW.amount::text, 'currency', NEW.currency));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER UPDATE OF status ON marketplace.refund
    FOR EACH ROW EXECUTE FUNCTION marketplace.refund_changed();

-- Events that the provider delivered, each acted on once.
CREATE TABLE marketplace.payment_event (
    bucket smallint NOT NULL,
    provider text NOT NULL,
    event text NOT NULL,
    payment uuid NOT NULL,
    kind text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_seen PRIMARY KEY (bucket, provider, event)
);
SELECT meridian.shard_table('marketplace.payment_event', 'payment');

-- What nobody should pay any more is ended soon, and not after an hour.
CREATE FUNCTION marketplace.order_cancelled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE marketplace.payment SET due_at = now()
    WHERE bucket = NEW.bucket AND order_id = NEW.id AND status = 'pending';
    RETURN NULL;
END $$;
CREATE TRIGGER end_payments AFTER UPDATE OF status ON marketplace.orders FOR EACH ROW
    WHEN (NEW.status IN ('cancelled_by_customer', 'cancelled_by_garage', 'refunded'))
    EXECUTE FUNCTION marketplace.order_cancelled();
