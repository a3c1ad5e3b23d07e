-- Bids, counter-offers and orders: all in the bucket of the request that they follow from. Whoever changes several rows
-- of a request locks the request's row first; of an order, the order's. What ends with a request or a bid is ended by its
-- trigger: that runs under the lock with a snapshot of its own, so it also sees what came while the lock was waited for.

-- What may follow what: the one place that says it. `actors` empty: whoever may write at all.
CREATE TABLE marketplace.transition (
    entity text NOT NULL,
    from_status text NOT NULL,
    to_status text NOT NULL,
    actors text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (entity, from_status, to_status)
);
INSERT INTO marketplace.transition (entity, from_status, to_status, actors) VALUES
    ('request', 'active', 'accepted', '{}'),
    ('request', 'active', 'expired', '{}'),
    ('request', 'active', 'cancelled', '{}'),
    ('bid', 'pending', 'accepted', '{}'),
    ('bid', 'pending', 'rejected', '{}'),
    ('bid', 'pending', 'withdrawn', '{}'),
    ('bid', 'pending', 'expired', '{}'),
    ('counter_offer', 'pending', 'accepted', '{}'),
    ('counter_offer', 'pending', 'rejected', '{}'),
    ('counter_offer', 'pending', 'countered', '{}'),
    ('counter_offer', 'pending', 'expired', '{}'),
    ('orders', 'pending_payment', 'confirmed', '{system}'),
    ('orders', 'confirmed', 'preparing', '{garage}'),
    ('orders', 'preparing', 'ready_for_pickup', '{garage}'),
    ('orders', 'ready_for_pickup', 'collected', '{driver}'),
    ('orders', 'collected', 'in_transit', '{driver}'),
    ('orders', 'in_transit', 'delivered', '{driver}'),
    -- An order without a delivery is collected by the customer, and this is where its 48 hours begin.
    ('orders', 'ready_for_pickup', 'delivered', '{customer}'),
    ('orders', 'delivered', 'completed', '{customer,system}'),
    ('orders', 'delivered', 'disputed', '{customer}'),
    ('orders', 'disputed', 'completed', '{staff,admin}'),
    ('orders', 'disputed', 'refunded', '{staff,admin}'),
    ('orders', 'pending_payment', 'cancelled_by_customer', '{customer}'),
    ('orders', 'confirmed', 'cancelled_by_customer', '{customer}'),
    ('orders', 'preparing', 'cancelled_by_customer', '{customer}'),
    ('orders', 'ready_for_pickup', 'cancelled_by_customer', '{customer}'),
    ('orders', 'collected', 'cancelled_by_customer', '{customer}'),
    ('orders', 'in_transit', 'cancelled_by_customer', '{customer}'),
    ('orders', 'pending_payment', 'cancelled_by_garage', '{garage}'),
    ('orders', 'confirmed', 'cancelled_by_garage', '{garage}'),
    ('orders', 'preparing', 'cancelled_by_garage', '{garage}'),
    ('orders', 'ready_for_pickup', 'cancelled_by_garage', '{garage}');

-- Refuses every other change of status, as a broken constraint `<table>_transition`.
CREATE FUNCTION marketplace.check_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT FROM marketplace.transition t
        WHERE t.entity = TG_TABLE_NAME AND t.from_status = OLD.status AND t.to_status = NEW.status
          AND (t.actors = '{}' OR to_jsonb(NEW) ->> 'actor_role' = ANY (t.actors))) THEN
        RAISE EXCEPTION '% is %, and cannot become %', TG_TABLE_NAME, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_transition';
    END IF;
    RETURN NEW;
END $$;

-- What a garage pays: its plan decides the commission (see marketplace.commission).
ALTER TABLE marketplace.account ADD COLUMN plan text NOT NULL DEFAULT 'free'
    CHECK (plan IN ('free', 'starter', 'gold', 'platinum'));

-- Commission in percent of the part's price.
CREATE FUNCTION marketplace.commission(plan text) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE plan WHEN 'platinum' THEN 3 WHEN 'gold' THEN 5 WHEN 'starter' THEN 8 ELSE 15 END::numeric;

-- Requests: how many pending bids there are, and what delivery will cost (in the region's currency).
ALTER TABLE marketplace.request ADD COLUMN bids int NOT NULL DEFAULT 0 CHECK (bids >= 0);
ALTER TABLE marketplace.request ADD COLUMN delivery_fee numeric NOT NULL DEFAULT 0 CHECK (delivery_fee >= 0);

CREATE FUNCTION marketplace.request_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM meridian.tell(NEW.bucket, 'request.created', NEW.id,
            jsonb_build_object('to', '{}'::uuid[], 'customer', NEW.customer, 'car_make', NEW.car_make));
    ELSIF NEW.status <> OLD.status THEN
        UPDATE marketplace.bid SET updated_at = now(),
            status = CASE NEW.status WHEN 'expired' THEN 'expired' ELSE 'rejected' END
        WHERE bucket = NEW.bucket AND request = NEW.id AND status = 'pending';
        PERFORM meridian.tell(NEW.bucket, 'request.' || NEW.status, NEW.id,
            jsonb_build_object('to', CASE NEW.status WHEN 'expired' THEN ARRAY[NEW.customer] ELSE '{}' END,
                'customer', NEW.customer));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER transition BEFORE UPDATE ON marketplace.request
    FOR EACH ROW EXECUTE FUNCTION marketplace.check_transition();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OF status ON marketplace.request
    FOR EACH ROW EXECUTE FUNCTION marketplace.request_changed();
CREATE INDEX request_due ON marketplace.request (expires_at) WHERE status = 'active';

CREATE TABLE marketplace.bid (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    request uuid NOT NULL,
    customer uuid NOT NULL,
    garage uuid NOT NULL,
    -- As they were when it was made: the garage lives in another bucket, and its terms must not change under a bid.
    garage_name text NOT NULL,
    plan text NOT NULL,
    amount numeric NOT NULL CHECK (amount > 0 AND amount <= 1000000),
    -- The accepted counter-offer, which is then the price.
    agreed numeric CHECK (agreed > 0 AND agreed <= 1000000),
    currency text NOT NULL,
    minor_unit smallint NOT NULL,
    part_condition text NOT NULL
        CHECK (part_condition IN ('new', 'used_excellent', 'used_good', 'used_fair', 'refurbished')),
    warranty_days smallint NOT NULL CHECK (warranty_days BETWEEN 0 AND 365),
    notes text,
    images uuid[] NOT NULL DEFAULT '{}' CHECK (cardinality(images) <= 7),
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'accepted', 'rejected', 'withdrawn', 'expired')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, id)
);
CREATE UNIQUE INDEX one_live_bid ON marketplace.bid (bucket, request, garage) WHERE status IN ('pending', 'accepted');
CREATE INDEX bid_request ON marketplace.bid (bucket, request, id);
CREATE INDEX bid_garage ON marketplace.bid (garage, id);
SELECT meridian.shard_table('marketplace.bid');
CREATE TRIGGER transition BEFORE UPDATE ON marketplace.bid
    FOR EACH ROW EXECUTE FUNCTION marketplace.check_transition();

-- Tells of a bid, keeps its request's count of pending ones, and ends the offers that are pending on it.
CREATE FUNCTION marketplace.bid_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.status = OLD.status THEN
        RETURN NULL;
    END IF;
    UPDATE marketplace.request SET bids = bids + CASE NEW.status WHEN 'pending' THEN 1 ELSE -1 END
    WHERE bucket = NEW.bucket AND id = NEW.request AND status = 'active';
    UPDATE marketplace.counter_offer SET status = CASE NEW.status WHEN 'rejected' THEN 'rejected' ELSE 'expired' END
    WHERE bucket = NEW.bucket AND bid = NEW.id AND status = 'pending';
    PERFORM meridian.tell(NEW.bucket, 'bid.' || CASE NEW.status WHEN 'pending' THEN 'submitted' ELSE NEW.status END,
        NEW.id, jsonb_build_object(
            'to', ARRAY[CASE WHEN NEW.status IN ('pending', 'withdrawn') THEN NEW.customer ELSE NEW.garage END],
            'request_id', NEW.request));
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OF status ON marketplace.bid
    FOR EACH ROW EXECUTE FUNCTION marketplace.bid_changed();

CREATE TABLE marketplace.counter_offer (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    bid uuid NOT NULL,
    request uuid NOT NULL,
    customer uuid NOT NULL,
    garage uuid NOT NULL,
    made_by text NOT NULL CHECK (made_by IN ('customer', 'garage')),
    round smallint NOT NULL CONSTRAINT three_rounds CHECK (round BETWEEN 1 AND 3),
    amount numeric NOT NULL CHECK (amount > 0 AND amount <= 1000000),
    message text,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'accepted', 'rejected', 'countered', 'expired')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, id)
);
CREATE UNIQUE INDEX one_pending_offer ON marketplace.counter_offer (bucket, bid) WHERE status = 'pending';
CREATE UNIQUE INDEX one_offer_a_round ON marketplace.counter_offer (bucket, bid, round);
CREATE INDEX counter_offer_due ON marketplace.counter_offer (expires_at) WHERE status = 'pending';
SELECT meridian.shard_table('marketplace.counter_offer');
CREATE TRIGGER transition BEFORE UPDATE ON marketplace.counter_offer
    FOR EACH ROW EXECUTE FUNCTION marketplace.check_transition();

CREATE FUNCTION marketplace.counter_offer_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    maker uuid := CASE NEW.made_by WHEN 'customer' THEN NEW.customer ELSE NEW.garage END;
    other uuid := CASE NEW.made_by WHEN 'customer' THEN NEW.garage ELSE NEW.customer END;
BEGIN
    IF TG_OP = 'INSERT' OR NEW.status <> OLD.status THEN
        PERFORM meridian.tell(NEW.bucket,
            'counter_offer.' || CASE NEW.status WHEN 'pending' THEN 'made' ELSE NEW.status END, NEW.id,
            jsonb_build_object('to', ARRAY[CASE NEW.status WHEN 'pending' THEN other ELSE maker END],
                'bid_id', NEW.bid, 'request_id', NEW.request));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OF status ON marketplace.counter_offer
    FOR EACH ROW EXECUTE FUNCTION marketplace.counter_offer_changed();

CREATE TABLE marketplace.orders (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    number text NOT NULL,
    request uuid NOT NULL,
    bid uuid NOT NULL,
    customer uuid NOT NULL,
    garage uuid NOT NULL,
    driver uuid,
    garage_name text NOT NULL,
    driver_name text,
    part text NOT NULL,
    part_price numeric NOT NULL CHECK (part_price > 0),
    delivery_fee numeric NOT NULL CHECK (delivery_fee >= 0),
    total numeric NOT NULL,
    platform_fee numeric NOT NULL CHECK (platform_fee >= 0),
    garage_payout numeric NOT NULL CHECK (garage_payout >= 0),
    paid numeric NOT NULL DEFAULT 0 CHECK (paid >= 0),
    refunded numeric NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    cancellation_fee numeric NOT NULL DEFAULT 0 CHECK (cancellation_fee >= 0),
    currency text NOT NULL,
    minor_unit smallint NOT NULL,
    warranty_days smallint NOT NULL,
    delivery_address text,
    delivery_lat double precision,
    delivery_lng double precision,
    status text NOT NULL DEFAULT 'pending_payment' CHECK (status IN (
        'pending_payment', 'confirmed', 'preparing', 'ready_for_pickup', 'collected', 'in_transit', 'delivered', 'completed',
        'cancelled_by_customer', 'cancelled_by_garage', 'disputed', 'refunded')),
    -- Who changed the status last, as what, and what they said: the history has all of them.
    actor uuid,
    actor_role text NOT NULL CHECK (actor_role IN ('customer', 'garage', 'driver', 'staff', 'admin', 'system')),
    note text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    completed_at timestamptz,
    PRIMARY KEY (bucket, id),
    CONSTRAINT total_is_part_and_delivery CHECK (total = part_price + delivery_fee),
    CONSTRAINT part_is_fee_and_payout CHECK (part_price = platform_fee + garage_payout),
    CONSTRAINT refunds_within_payments CHECK (refunded <= paid)
);
CREATE UNIQUE INDEX one_live_order ON marketplace.orders (bucket, request)
    WHERE status NOT IN ('cancelled_by_customer', 'cancelled_by_garage', 'refunded');
CREATE UNIQUE INDEX order_number ON marketplace.orders (number);
CREATE INDEX order_customer ON marketplace.orders (bucket, customer, id);
CREATE INDEX order_garage ON marketplace.orders (garage, id);
CREATE INDEX order_driver ON marketplace.orders (driver, id) WHERE driver IS NOT NULL;
CREATE INDEX order_delivered ON marketplace.orders (delivered_at) WHERE status = 'delivered';
SELECT meridian.shard_table('marketplace.orders');
CREATE TRIGGER transition BEFORE UPDATE ON marketplace.orders
    FOR EACH ROW EXECUTE FUNCTION marketplace.check_transition();

CREATE TABLE marketplace.order_history (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    order_id uuid NOT NULL,
    from_status text,
    to_status text NOT NULL,
    actor uuid,
    actor_role text NOT NULL,
    note text,
    -- The clock when it was written, under the order's lock: the order in which things happened.
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (bucket, id)
);
CREATE INDEX order_history_order ON marketplace.order_history (bucket, order_id, at);
SELECT meridian.shard_table('marketplace.order_history');

CREATE FUNCTION marketplace.order_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.status = OLD.status THEN
        RETURN NULL;
    END IF;
    INSERT INTO marketplace.order_history (bucket, id, order_id, from_status, to_status, actor, actor_role, note)
    VALUES (NEW.bucket, meridian.new_id(NEW.bucket), NEW.id, OLD.status, NEW.status, NEW.actor, NEW.actor_role, NEW.note);
    PERFORM meridian.tell(NEW.bucket, 'order.status_changed', NEW.id, jsonb_build_object(
        'to', array_remove(array_remove(ARRAY[NEW.customer, NEW.garage, NEW.driver], NULL), NEW.actor),
        'number', NEW.number, 'from', OLD.status, 'status', NEW.status));
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OF status ON marketplace.orders
    FOR EACH ROW EXECUTE FUNCTION marketplace.order_changed();

-- Order numbers count through a region without asking all of its shards: one bucket holds the count, and each shard takes
-- numbers by the block. `order_block` belongs to the shard itself, not to a bucket, and never moves.
CREATE TABLE marketplace.order_count (
    bucket smallint PRIMARY KEY,
    taken bigint NOT NULL DEFAULT 0 CHECK (taken >= 0)
);
SELECT meridian.shard_table('marketplace.order_count', NULL);
CREATE TABLE marketplace.order_block (
    first bigint PRIMARY KEY,
    last bigint NOT NULL,
    next bigint NOT NULL,
    CHECK (first <= next AND next <= last + 1)
);
CREATE INDEX order_block_left ON marketplace.order_block (first) WHERE next <= last;
