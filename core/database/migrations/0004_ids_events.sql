-- An id for something new that lives in a bucket: the same layout as in core/ids.py, for rows that SQL itself makes.
CREATE FUNCTION meridian.new_id(bucket smallint) RETURNS uuid LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    made text := replace(gen_random_uuid()::text, '-', '');
    -- Outside its version and variant a random UUID is 122 random bits: the outer 32 and 32 are all random.
    random bigint := ('x' || left(made, 8) || right(made, 8))::bit(64)::bigint & ((1::bigint << 54) - 1);
    code bigint := (SELECT region_code FROM meridian.shard);
BEGIN
    RETURN (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
        || '7' || lpad(to_hex(bucket::int), 3, '0')
        || lpad(to_hex((1::bigint << 63) | (code << 54) | random), 16, '0'))::uuid;
END $$;

-- Tells the world of a change, in the transaction that makes it. `body` lists in `to` the accounts that it concerns.
CREATE FUNCTION meridian.tell(bucket smallint, kind text, subject uuid, body jsonb) RETURNS void
    LANGUAGE sql VOLATILE AS $$
    INSERT INTO meridian.outbox (bucket, id, kind, subject, body)
    VALUES (tell.bucket, meridian.new_id(tell.bucket), tell.kind, tell.subject, tell.body)
$$;

-- Which events have been handed on, and when one that has not is tried next: the longest due first.
ALTER TABLE meridian.outbox ADD COLUMN relayed_at timestamptz;
ALTER TABLE meridian.outbox ADD COLUMN due_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX outbox_due ON meridian.outbox (due_at) WHERE relayed_at IS NULL;
CREATE INDEX outbox_relayed ON meridian.outbox (relayed_at) WHERE relayed_at IS NOT NULL;
