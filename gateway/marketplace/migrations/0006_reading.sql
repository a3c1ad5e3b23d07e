-- What reads need: an index for each listing, report and dashboard; and search.

-- The open feed: every order and filter that it offers, over the open requests alone.
CREATE INDEX request_open ON marketplace.request (id) WHERE status = 'active';
CREATE INDEX request_open_bids ON marketplace.request (bids, id) WHERE status = 'active';
CREATE INDEX request_open_make ON marketplace.request (lower(car_make), id) WHERE status = 'active';
CREATE INDEX request_open_category ON marketplace.request (part_category, id) WHERE status = 'active';

-- Dashboards count what is under way: small next to what has ended, and indexed apart from it.
CREATE INDEX request_open_customer ON marketplace.request (bucket, customer) WHERE status = 'active';
CREATE INDEX bid_pending ON marketplace.bid (garage) WHERE status = 'pending';
CREATE INDEX order_status ON marketplace.orders (status, id);
CREATE INDEX order_garage_status ON marketplace.orders (garage, status, id);

-- Staff choose among the drivers.
CREATE INDEX account_driver ON marketplace.account (id) WHERE role = 'driver';

-- Reports: by time, over the whole region; of a garage, by time.
CREATE INDEX order_created ON marketplace.orders (created_at, id);
CREATE INDEX order_garage_created ON marketplace.orders (garage, created_at);
CREATE INDEX order_history_collected ON marketplace.order_history (at, id) WHERE to_status = 'collected';
CREATE INDEX dispute_created ON marketplace.dispute (created_at, id);

-- Search. `simple` knows no language, so Arabic and English are alike to it; punctuation parts words, in what is stored
-- and in what is asked (gateway/marketplace/search.py), so that `87910-0K` is found by each of its pieces.
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE FUNCTION marketplace.words(said text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('simple'::regconfig,
        translate(said, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', '                                '));

CREATE FUNCTION marketplace.request_text(make text, model text, year smallint, number text, category text, description text)
    RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN make || ' ' || model || ' ' || year::text || ' ' || coalesce(number, '') || ' ' || coalesce(category, '') || ' '
        || description;

CREATE INDEX request_words ON marketplace.request USING gin (marketplace.words(
    marketplace.request_text(car_make, car_model, car_year, part_number, part_category, part_description)));
CREATE INDEX order_words ON marketplace.orders USING gin (marketplace.words(part || ' ' || garage_name));
CREATE INDEX garage_words ON marketplace.account USING gin (marketplace.words(garage_name)) WHERE role = 'garage';
CREATE INDEX garage_trigrams ON marketplace.account USING gin (garage_name public.gin_trgm_ops) WHERE role = 'garage';
-- The newest first, where a word is so common that its index would find too many.
CREATE INDEX request_newest ON marketplace.request (id);
CREATE INDEX order_newest ON marketplace.orders (id);
CREATE INDEX garage_newest ON marketplace.account (id) WHERE role = 'garage';
-- In byte order, so that a number's beginning is a range of them, whatever the database's language.
CREATE INDEX order_number_prefix ON marketplace.orders (number COLLATE "C");
