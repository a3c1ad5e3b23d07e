-- For statements that must fail as a whole: true if a condition holds, else an error that names the refusal as a broken
-- constraint would.
CREATE FUNCTION meridian.require(holds boolean, refusal text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF holds THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'refused: %', refusal USING ERRCODE = 'check_violation', CONSTRAINT = refusal;
END $$;

-- Files: which there are, whose, and where: `spooled` on the local disk of the server that calls itself `spool`, `stored`
-- in the region's file store under `<region>/<id>`, or `deleted`: gone for everybody, and purged from the store later.
CREATE TABLE meridian.file (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    owner uuid NOT NULL,
    name text,
    media_type text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    state text NOT NULL CHECK (state IN ('spooled', 'stored', 'deleted')),
    spool text CHECK (state <> 'spooled' OR spool IS NOT NULL),
    -- What it is attached to; a file that is attached to nothing is deleted after a day.
    used_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, id)
);
CREATE INDEX file_unused ON meridian.file (created_at) WHERE used_by IS NULL AND state <> 'deleted';
CREATE INDEX file_deleted ON meridian.file (changed_at) WHERE state = 'deleted';
SELECT meridian.shard_table('meridian.file');
