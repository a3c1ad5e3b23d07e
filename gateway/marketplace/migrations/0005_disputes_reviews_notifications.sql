-- What may come after an order (in its bucket), and what people are told (each in the bucket of who is told).
INSERT INTO marketplace.transition (entity, from_status, to_status) VALUES
    ('dispute', 'open', 'resolved'),
    ('dispute', 'open', 'rejected'),
    ('review', 'pending', 'published'),
    ('review', 'pending', 'rejected');

CREATE TABLE marketplace.dispute (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    order_id uuid NOT NULL,
    -- Of the order, as they were: whoever reads a dispute needs no other row.
    number text NOT NULL,
    customer uuid NOT NULL,
    garage uuid NOT NULL,
    garage_name text NOT NULL,
    reason text NOT NULL
        CHECK (reason IN ('wrong_part', 'damaged', 'not_as_described', 'does_not_fit', 'changed_mind')),
    description text NOT NULL,
    images uuid[] NOT NULL DEFAULT '{}' CHECK (cardinality(images) <= 7),
    refund_percent smallint NOT NULL CHECK (refund_percent BETWEEN 0 AND 100),
    refund_amount numeric NOT NULL DEFAULT 0 CHECK (refund_amount >= 0),
    currency text NOT NULL,
    minor_unit smallint NOT NULL,
    resolution text,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'resolved', 'rejected')),
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by uuid,
    PRIMARY KEY (bucket, id),
    CONSTRAINT one_dispute UNIQUE (bucket, order_id)
);
CREATE INDEX dispute_customer ON marketplace.dispute (bucket, customer, id);
CREATE INDEX dispute_garage ON marketplace.dispute (garage, id);
CREATE INDEX dispute_open ON marketplace.dispute (id) WHERE status = 'open';
SELECT meridian.shard_table('marketplace.dispute');
CREATE TRIGGER transition BEFORE UPDATE ON marketplace.dispute
    FOR EACH ROW EXECUTE FUNCTION marketplace.check_transition();

CREATE FUNCTION marketplace.dispute_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM meridian.tell(NEW.bucket, 'dispute.opened', NEW.id, jsonb_build_object(
            'to', ARRAY[NEW.garage], 'order_id', NEW.order_id, 'number', NEW.number, 'reason', NEW.reason));
    ELSIF NEW.status <> OLD.status THEN
        PERFORM meridian.tell(NEW.bucket, 'dispute.' || NEW.status, NEW.id, jsonb_build_object(
            'to', ARRAY[NEW.customer, NEW.garage], 'order_id', NEW.order_id, 'number', NEW.number));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OF status ON marketplace.dispute
    FOR EACH ROW EXECUTE FUNCTION marketplace.dispute_changed();

CREATE TABLE marketplace.review (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    order_id uuid NOT NULL,
    customer uuid NOT NULL,
    garage uuid NOT NULL,
    -- The initial of the customer's name: all that others see of them.
    author text NOT NULL,
    rating smallint NOT NULL CHECK (rating BETWEEN 1 AND 5),
    part_rating smallint CHECK (part_rating BETWEEN 1 AND 5),
    communication_rating smallint CHECK (communication_rating BETWEEN 1 AND 5),
    delivery_rating smallint CHECK (delivery_rating BETWEEN 1 AND 5),
    comment text,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'published', 'rejected')),
    created_at timestamptz NOT NULL DEFAULT now(),
    moderated_at timestamptz,
    moderated_by uuid,
    moderation_note text,
    PRIMARY KEY (bucket, id),
    CONSTRAINT one_review UNIQUE (bucket, order_id)
);
CREATE INDEX review_garage ON marketplace.review (garage, id) WHERE status = 'published';
CREATE INDEX review_pending ON marketplace.review (id) WHERE status = 'pending';
SELECT meridian.shard_table('marketplace.review');
CREATE TRIGGER transition BEFORE UPDATE ON marketplace.review
    FOR EACH ROW EXECUTE FUNCTION marketplace.check_transition();

CREATE FUNCTION marketplace.review_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status THEN
        -- No order: the garage would know by it whose review this is.
        PERFORM meridian.tell(NEW.bucket, 'review.' || NEW.status, NEW.id, jsonb_build_object(
            'to', CASE NEW.status WHEN 'published' THEN ARRAY[NEW.garage, NEW.customer] ELSE ARRAY[NEW.customer] END,
            'garage_id', NEW.garage));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER UPDATE OF status ON marketplace.review
    FOR EACH ROW EXECUTE FUNCTION marketplace.review_changed();

-- `event` is the outbox event that it tells of: whoever is told twice of one event is told once.
CREATE TABLE marketplace.notification (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    account uuid NOT NULL,
    event uuid NOT NULL,
    kind text NOT NULL,
    subject uuid NOT NULL,
    about jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    read_at timestamptz,
    PRIMARY KEY (bucket, id),
    CONSTRAINT told_once UNIQUE (bucket, account, event)
);
CREATE INDEX notification_account ON marketplace.notification (bucket, account, id);
CREATE INDEX notification_unread ON marketplace.notification (bucket, account, id) WHERE read_at IS NULL;
CREATE INDEX notification_created ON marketplace.notification (created_at);
SELECT meridian.shard_table('marketplace.notification');
