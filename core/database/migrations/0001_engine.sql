-- The engine's own objects: what a placement is, who this shard is, which buckets it owns, and the guard.

CREATE FUNCTION meridian.bucket_of(id uuid) RETURNS smallint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (((get_byte(uuid_send(id), 6) & 15) << 8) | get_byte(uuid_send(id), 7))::smallint;

CREATE FUNCTION meridian.region_of(id uuid) RETURNS smallint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (((get_byte(uuid_send(id), 8) & 63) << 2) | (get_byte(uuid_send(id), 9) >> 6))::smallint;

-- One row: which shard of which region this cluster is, for ever. `founders` are the shards (name -> weight) that the
-- region began with: each claims its share of the ring in the transaction that writes this row.
CREATE TABLE meridian.shard (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    region text NOT NULL,
    region_code smallint NOT NULL CHECK (region_code BETWEEN 1 AND 255),
    name text NOT NULL,
    login_key bytea NOT NULL CHECK (length(login_key) = 32),
    founders jsonb NOT NULL,
    introduced_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE meridian.bucket (
    bucket smallint PRIMARY KEY CHECK (bucket BETWEEN 0 AND 4095),
    state text NOT NULL CHECK (state IN ('owned', 'fenced', 'moved')),
    epoch bigint NOT NULL CHECK (epoch > 0),
    moved_to text CHECK ((state = 'moved') = (moved_to IS NOT NULL))
);

CREATE FUNCTION meridian.announce_buckets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('meridian_buckets', '');
    RETURN NULL;
END $$;

CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON meridian.bucket
    FOR EACH STATEMENT EXECUTE FUNCTION meridian.announce_buckets();

-- The lock comes first and the look-up is a statement of its own: in one statement READ COMMITTED would read the
-- state as it was before the lock was granted, and a write could slip past a fence.
-- 1297237070 is 'MRDN' in ASCII: the class of Meridian's per-bucket advisory locks.
CREATE FUNCTION meridian.check_bucket(asked smallint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF pg_try_advisory_xact_lock_shared(1297237070, asked) THEN
        PERFORM FROM meridian.bucket WHERE bucket = asked AND state = 'owned';
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RAISE EXCEPTION 'bucket % is not owned by this shard, or is fenced', asked USING ERRCODE = 'MD001';
END $$;

CREATE FUNCTION meridian.guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.bucket <> OLD.bucket THEN
        RAISE EXCEPTION 'a row never changes its bucket (% to %)', OLD.bucket, NEW.bucket USING ERRCODE = 'MD001';
    END IF;
    IF pg_try_advisory_xact_lock_shared(1297237070, NEW.bucket) THEN
        PERFORM FROM meridian.bucket WHERE bucket = NEW.bucket AND state = 'owned';
        IF FOUND THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'bucket % is not owned by this shard, or is fenced', NEW.bucket USING ERRCODE = 'MD001';
END $$;

CREATE FUNCTION meridian.guard_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM meridian.check_bucket(OLD.bucket);
    RETURN OLD;
END $$;

-- Makes a table a sharded one. Its rows must have `bucket`; where they have a placed id (`id_column`), the id must
-- agree with the bucket and with this region, so that no row can lie about its place.
CREATE FUNCTION meridian.shard_table(target regclass, id_column name DEFAULT 'id') RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    code smallint := (SELECT region_code FROM meridian.shard);
BEGIN
    IF code IS NULL THEN
        RAISE EXCEPTION 'this cluster has not been introduced as a shard yet';
    END IF;
    EXECUTE format('CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION meridian.guard()', target);
    EXECUTE format('CREATE TRIGGER guard_delete BEFORE DELETE ON %s FOR EACH ROW EXECUTE FUNCTION meridian.guard_delete()', target);
    IF id_column IS NOT NULL THEN
        EXECUTE format(
            'ALTER TABLE %s ADD CONSTRAINT placed CHECK (bucket = meridian.bucket_of(%I) AND meridian.region_of(%I) = %s)',
            target, id_column, id_column, code);
    END IF;
END $$;
