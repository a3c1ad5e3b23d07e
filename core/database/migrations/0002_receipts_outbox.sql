-- Receipts: the outcome of a write that carried an idempotency key, stored in the same transaction as the write.
CREATE TABLE meridian.receipt (
    bucket smallint NOT NULL,
    owner uuid NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    outcome jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, owner, key)
);
CREATE INDEX receipt_created_at ON meridian.receipt (created_at);
SELECT meridian.shard_table('meridian.receipt', NULL);

-- Outbox: one row for each change of state, written with the change; a relay moves them to the region's stream.
CREATE TABLE meridian.outbox (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    subject uuid NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, id)
);
SELECT meridian.shard_table('meridian.outbox');
