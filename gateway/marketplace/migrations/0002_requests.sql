-- A customer's request for a part. A request and all that follows from it (bids, order, payments, review) share its bucket.
CREATE TABLE marketplace.request (
    bucket smallint NOT NULL,
    id uuid NOT NULL,
    customer uuid NOT NULL,
    car_make text NOT NULL,
    car_model text NOT NULL,
    car_year smallint NOT NULL,
    vin text,
    part_description text NOT NULL,
    part_number text,
    part_category text,
    condition_required text NOT NULL CHECK (condition_required IN ('new', 'used', 'any')),
    delivery_address text,
    delivery_lat double precision,
    delivery_lng double precision,
    images uuid[] NOT NULL DEFAULT '{}' CHECK (cardinality(images) <= 7),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'accepted', 'expired', 'cancelled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (bucket, id),
    CHECK ((delivery_address IS NULL) = (delivery_lat IS NULL) AND (delivery_lat IS NULL) = (delivery_lng IS NULL))
);
CREATE INDEX request_customer ON marketplace.request (bucket, customer, id);
SELECT meridian.shard_table('marketplace.request');
