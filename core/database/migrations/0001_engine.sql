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

-- Which buckets may be written to here, as one row of bits: a copy of `state = 'owned'` that costs the guard of every
-- write one page and no index. It is made anew whenever the table changes, in the same transaction.
CREATE TABLE meridian.writable (buckets bit(4096) NOT NULL);
INSERT INTO meridian.writable VALUES (repeat('0', 4096)::bit(4096));

CREATE FUNCTION meridian.buckets_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The row's lock first, the copy as a statement of its own: it then sees what a concurrent change has committed.
    PERFORM FROM meridian.writable FOR UPDATE;
    UPDATE meridian.writable SET buckets = (
        SELECT string_agg(CASE WHEN b.state = 'owned' THEN '1' ELSE '0' END, '' ORDER BY n)::bit(4096)
        FROM generate_series(0, 4095) AS n LEFT JOIN meridian.bucket AS b ON b.bucket = n);
    PERFORM pg_notify('meridian_buckets', '');
    RETURN NULL;
END $$;

CREATE TRIGGER buckets_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON meridian.bucket
    FOR EACH STATEMENT EXECUTE FUNCTION meridian.buckets_changed();
-- Even for a session that plays a replica, so that the copy is never another than the table.
ALTER TABLE meridian.bucket ENABLE ALWAYS TRIGGER buckets_changed;

-- The lock comes first and the look-up is a statement of its own: in one statement READ COMMITTED would read the
-- state as it was before the lock was granted, and a write could slip past a fence. A transaction in REPEATABLE READ has
-- one snapshot for all its statements and would read it too, so sharded tables are written in READ COMMITTED only.
-- 1297237070 is 'MRDN' in ASCII: the class of Meridian's per-bucket advisory locks.
-- `substring`, because outside the bits it finds nothing where `get_bit` would raise another error. No WHEN clauses:
-- PostgreSQL compiles them anew for every statement, which costs twice what calling the function does.
CREATE FUNCTION meridian.guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- On INSERT there is no OLD, so the comparison is null.
    IF NEW.bucket <> OLD.bucket THEN
        RAISE EXCEPTION 'a row never changes its bucket (% to %)', OLD.bucket, NEW.bucket USING ERRCODE = 'MD001';
    END IF;
    IF current_setting('transaction_isolation') = 'read committed'
        AND pg_try_advisory_xact_lock_shared(1297237070, NEW.bucket) THEN
        PERFORM FROM meridian.writable WHERE substring(buckets FROM NEW.bucket + 1 FOR 1) = B'1';
        IF FOUND THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'bucket % is not owned by this shard, or is fenced', NEW.bucket USING ERRCODE = 'MD001',
        HINT = 'Sharded tables are written in READ COMMITTED only.';
END $$;

CREATE FUNCTION meridian.guard_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') = 'read committed'
        AND pg_try_advisory_xact_lock_shared(1297237070, OLD.bucket) THEN
        PERFORM FROM meridian.writable WHERE substring(buckets FROM OLD.bucket + 1 FOR 1) = B'1';
        IF FOUND THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'bucket % is not owned by this shard, or is fenced', OLD.bucket USING ERRCODE = 'MD001',
        HINT = 'Sharded tables are written in READ COMMITTED only.';
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
    EXECUTE format('CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON %s'
        ' FOR EACH ROW EXECUTE FUNCTION meridian.guard()', target);
    EXECUTE format('CREATE TRIGGER guard_delete BEFORE DELETE ON %s'
        ' FOR EACH ROW EXECUTE FUNCTION meridian.guard_delete()', target);
    IF id_column IS NOT NULL THEN
        EXECUTE format(
            'ALTER TABLE %s ADD CONSTRAINT placed CHECK (bucket = meridian.bucket_of(%I) AND meridian.region_of(%I) = %s)',
            target, id_column, id_column, code);
    END IF;
END $$;
