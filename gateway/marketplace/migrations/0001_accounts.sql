CREATE SCHEMA marketplace;

-- People, how they log in, and what they keep: each row in the bucket of its owner.

CREATE TABLE marketplace.account (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    role text NOT NULL CHECK (role IN ('customer', 'garage', 'driver', 'staff', 'admin')),
    full_name text NOT NULL,
    phone_number text NOT NULL,
    email text,
    garage_name text,
    password_hash text NOT NULL,
    -- Counted here, under the account's row lock, so that no race makes an eleventh.
    vehicles smallint NOT NULL DEFAULT 0 CONSTRAINT ten_vehicles CHECK (vehicles BETWEEN 0 AND 10),
    addresses smallint NOT NULL DEFAULT 0 CONSTRAINT twenty_addresses CHECK (addresses BETWEEN 0 AND 20),
    -- One default by construction: the account points at it.
    default_address uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, id)
);
SELECT meridian.shard_table('marketplace.account');

-- A login identifier, only as a keyed hash, in the bucket that the hash names. It is good while its account carries the
-- phone number that it is the hash of; otherwise it is a claim that was cut off, and may be freed after ten minutes.
CREATE TABLE marketplace.identity (
    bucket smallint NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 16),
    account uuid NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identity_taken PRIMARY KEY (bucket, digest)
);
SELECT meridian.shard_table('marketplace.identity', NULL);

-- A login and its family of refresh tokens. `generation` counts refreshes: only the newest refresh token is good.
CREATE TABLE marketplace.login_session (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    account uuid NOT NULL,
    generation int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    refreshed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (bucket, id)
);
CREATE INDEX login_session_account ON marketplace.login_session (bucket, account) WHERE revoked_at IS NULL;
SELECT meridian.shard_table('marketplace.login_session');

CREATE TABLE marketplace.vehicle (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    owner uuid NOT NULL,
    make text NOT NULL,
    model text NOT NULL,
    year smallint NOT NULL,
    vin text,
    nickname text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, id)
);
CREATE INDEX vehicle_owner ON marketplace.vehicle (bucket, owner, id);
SELECT meridian.shard_table('marketplace.vehicle');

CREATE TABLE marketplace.address (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    owner uuid NOT NULL,
    label text NOT NULL,
    address_text text NOT NULL,
    lat double precision NOT NULL CHECK (lat BETWEEN -90 AND 90),
    lng double precision NOT NULL CHECK (lng BETWEEN -180 AND 180),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, id)
);
CREATE INDEX address_owner ON marketplace.address (bucket, owner, id);
SELECT meridian.shard_table('marketplace.address');
