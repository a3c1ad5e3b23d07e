-- What bench/seed.py runs, part by part, on a migrated shard, after filling in the {{names}}. Each row is made from a number, so
-- that every run makes the same. Triggers are off meanwhile: what they would write is written here.

-- part: functions
CREATE FUNCTION pg_temp.h(n bigint, salt bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN hashint8extended(n, salt) & 9223372036854775807;
CREATE FUNCTION pg_temp.id_at(bucket int, at timestamptz, n bigint, salt bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(bucket), 3, '0')
        || to_hex((1::bigint << 63) | ({code}::bigint << 54) | (hashint8extended(n, salt) & ((1::bigint << 54) - 1))))::uuid;
CREATE FUNCTION pg_temp.one_of(words text[], n bigint) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN words[1 + n % cardinality(words)];

-- part: people
CREATE TEMP TABLE place AS
    SELECT (row_number() OVER (ORDER BY bucket) - 1)::int AS nth, bucket::int FROM meridian.bucket WHERE state = 'owned';
CREATE TEMP TABLE person AS
    SELECT role, n, CASE WHEN n = 0 THEN known ELSE pg_temp.id_at(place.bucket, {since}, n, salt) END AS id
    FROM (VALUES ('customer', {customers}, '{known.customer}'::uuid, 1), ('garage', {garages}, '{known.garage}', 2),
              ('driver', {drivers}, '{known.driver}', 3), ('staff', 1, '{known.staff}', 4)) AS kind (role, many, known, salt)
    CROSS JOIN LATERAL generate_series(0, many - 1) AS n
    JOIN place ON place.nth = pg_temp.h(n, salt) % (SELECT count(*) FROM place);
ALTER TABLE person ADD PRIMARY KEY (role, n);
ANALYZE person;
INSERT INTO marketplace.account (bucket, id, role, full_name, phone_number, garage_name, password_hash, plan, created_at)
    SELECT meridian.bucket_of(id), id, role, 'Somebody ' || n, '+9740' || salt || n,
        CASE role WHEN 'garage' THEN pg_temp.one_of('{{Salwa Road,Industrial Area,Al Wakrah,Lusail,Corniche,Najma,مؤسسة الخليج}}',
            pg_temp.h(n, 5)) || ' ' || pg_temp.one_of('{{Spares,Motors,Auto Parts,Garage,Trading}}', pg_temp.h(n, 6)) || ' ' || n END,
        'none', pg_temp.one_of('{{free,free,free,starter,gold,platinum}}', pg_temp.h(n, 7)), {since}
    FROM (SELECT *, CASE role WHEN 'customer' THEN 1 WHEN 'garage' THEN 2 WHEN 'driver' THEN 3 ELSE 4 END AS salt FROM person) p
    WHERE meridian.bucket_of(id)::int IN (SELECT bucket FROM place);
INSERT INTO marketplace.vehicle (bucket, id, owner, make, model, year)
    SELECT meridian.bucket_of(id), pg_temp.id_at(meridian.bucket_of(id), {since}, n * 100 + k, 8), id, 'Toyota', 'Hilux', 2020
    FROM person, generate_series(1, CASE WHEN n = 0 THEN 12 ELSE 1 END) AS k WHERE role = 'customer';
INSERT INTO marketplace.address (bucket, id, owner, label, address_text, lat, lng)
    SELECT meridian.bucket_of(id), pg_temp.id_at(meridian.bucket_of(id), {since}, n * 100 + k, 9), id, 'Home', 'Street 1', 25.3, 51.5
    FROM person, generate_series(1, CASE WHEN n = 0 THEN 12 ELSE 1 END) AS k WHERE role = 'customer';

-- part: requests and bids
CREATE TEMP TABLE wanted AS
    SELECT r.n, r.n > {requests} - {open} AS is_open, p.id AS customer, meridian.bucket_of(p.id) AS bucket, at,
        pg_temp.id_at(meridian.bucket_of(p.id), at, r.n, 10) AS id,
        r.n <= {requests} - {open} AND r.n % 10 IN (0, 3, 7) AS is_sold
    FROM (SELECT n, CASE WHEN n > {requests} - {open} THEN now() - interval '20 hours' * (({requests} - n)::float / {open})
              ELSE now() - interval '25 hours' - interval '1 day' * ({days} * (1 - n::float / {requests})) END AS at,
              CASE WHEN n % {known_every} = 0 THEN 0 ELSE pg_temp.h(n, 11) % {customers} END AS customer
          FROM generate_series(1, {requests}) AS n) AS r
    JOIN person p ON p.role = 'customer' AND p.n = r.customer;
INSERT INTO marketplace.request (bucket, id, customer, car_make, car_model, car_year, part_description, part_number,
        part_category, condition_required, delivery_address, delivery_lat, delivery_lng, status, bids, created_at, expires_at)
    SELECT bucket, id, customer,
        pg_temp.one_of('{{Toyota,Toyota,Nissan,Hyundai,Kia,Lexus,Ford,GMC,Honda,Mitsubishi,Mazda,Chevrolet,تويوتا}}', pg_temp.h(n, 12)),
        pg_temp.one_of('{{Hilux,Patrol,Sonata,Sportage,Yukon,Accord,Pajero,Camry,Land Cruiser,Tahoe,LX 570}}', pg_temp.h(n, 13)),
        2005 + pg_temp.h(n, 14) % 20,
        pg_temp.one_of('{{Side mirror,Front bumper,Headlight,Alternator,Radiator,Brake discs,Tail light,Gearbox,مرآة جانبية}}',
            pg_temp.h(n, 15)) || pg_temp.one_of('{{", left",", right",", complete"," as in the picture"," without scratches"}}', pg_temp.h(n, 16)),
        to_char(pg_temp.h(n, 17) % 100000, 'FM00000') || '-0K',
        pg_temp.one_of('{{Body,Engine,Lights,Brakes,Interior,Suspension}}', pg_temp.h(n, 18)),
        pg_temp.one_of('{{any,used,new}}', pg_temp.h(n, 19)), 'Street 1', 25.3, 51.5,
        CASE WHEN is_open THEN 'active' WHEN is_sold THEN 'accepted' WHEN n % 10 = 5 THEN 'cancelled' ELSE 'expired' END,
        CASE WHEN is_open THEN 1 + n % 3 ELSE 0 END, at, at + interval '24 hours'
    FROM wanted;
CREATE TEMP TABLE offered AS
    SELECT w.n, k, w.bucket, w.id AS request, w.customer, w.is_open, w.is_sold, w.at + interval '1 minute' * k AS at,
        pg_temp.id_at(w.bucket, w.at + interval '1 minute' * k, w.n * 100 + k, 20) AS id,
        -- A few garages bid on most, and none twice on the same.
        CASE WHEN k = 1 AND n % {known_every} = 0 THEN 0
             ELSE (1 + floor(({garages} - 1) * power(pg_temp.h(n, 21) % 10000 / 10000.0, 2))::int + k) % ({garages} - 1) + 1 END AS garage,
        50 + pg_temp.h(n, 22 + k) % 950 AS amount
    FROM wanted w, generate_series(1, CASE WHEN n > {requests} - 3 THEN 15 WHEN is_open THEN 1 + n % 3
        WHEN is_sold THEN 2 ELSE n % 2 + 1 END) AS k;
INSERT INTO marketplace.bid (bucket, id, request, customer, garage, garage_name, plan, amount, currency, minor_unit,
        part_condition, warranty_days, status, created_at, updated_at)
    SELECT o.bucket, o.id, request, customer, p.id, 'Garage ' || p.n, 'free', amount, 'QAR', 2, 'used_good', 30,
        CASE WHEN is_open THEN 'pending' WHEN is_sold AND k = 1 THEN 'accepted' WHEN is_sold THEN 'rejected' ELSE 'expired' END, at, at
    FROM offered o JOIN person p ON p.role = 'garage' AND p.n = o.garage;
INSERT INTO marketplace.counter_offer (bucket, id, bid, request, customer, garage, made_by, round, amount, status, created_at,
        expires_at)
    SELECT o.bucket, pg_temp.id_at(o.bucket, at, o.n * 100 + k, 30), o.id, request, customer, p.id, 'customer', 1, amount - 10,
        CASE WHEN is_open THEN 'pending' ELSE 'expired' END, at, at + interval '24 hours'
    FROM offered o JOIN person p ON p.role = 'garage' AND p.n = o.garage WHERE k = 1 AND o.n % 4 = 0;

-- part: orders
CREATE TEMP TABLE sold AS
    SELECT o.n, o.bucket, o.request, o.id AS bid, o.customer, o.garage, amount, o.at + interval '1 hour' AS at,
        pg_temp.id_at(o.bucket, o.at + interval '1 hour', o.n, 40) AS id,
        CASE WHEN o.at > now() - interval '1 day' * least(14, {days} / 2) THEN (CASE pg_temp.h(o.n, 50) % 12
                WHEN 0 THEN 'pending_payment' WHEN 1 THEN 'confirmed' WHEN 2 THEN 'preparing' WHEN 3 THEN 'ready_for_pickup'
                WHEN 4 THEN 'collected' WHEN 5 THEN 'in_transit' WHEN 6 THEN 'delivered' WHEN 7 THEN 'disputed' WHEN 8 THEN 'disputed' ELSE 'completed' END)
            ELSE (CASE pg_temp.h(o.n, 41) % 50 WHEN 0 THEN 'cancelled_by_garage' WHEN 1 THEN 'cancelled_by_customer'
                WHEN 2 THEN 'cancelled_by_customer' WHEN 3 THEN 'refunded' ELSE 'completed' END) END AS status
    FROM offered o WHERE is_sold AND k = 1;
ANALYZE sold;
INSERT INTO marketplace.orders (bucket, id, number, request, bid, customer, garage, driver, garage_name, driver_name, part,
        part_price, delivery_fee, total, platform_fee, garage_payout, paid, refunded, currency, minor_unit, warranty_days,
        delivery_address, delivery_lat, delivery_lng, status, actor_role, created_at, updated_at, delivered_at, completed_at)
    SELECT s.bucket, s.id, '{prefix}-' || to_char(at, 'YYMM') || '-' || to_char(s.n, 'FM0000000'), s.request, s.bid, s.customer, g.id,
        d.id, 'Garage ' || g.n, 'Driver ' || d.n, r.part_description, amount, 10, amount + 10, round(amount * 0.15, 2),
        amount - round(amount * 0.15, 2), CASE s.status WHEN 'pending_payment' THEN 0 ELSE amount + 10 END,
        CASE s.status WHEN 'refunded' THEN amount WHEN 'cancelled_by_customer' THEN round(amount * 0.9, 2) ELSE 0 END, 'QAR', 2, 30,
        'Street 1', 25.3, 51.5, s.status, 'system', at, at, CASE WHEN s.status IN ('delivered', 'completed', 'disputed', 'refunded')
            THEN at + interval '21 hours' END, CASE s.status WHEN 'completed' THEN at + interval '30 hours' END
    FROM sold s JOIN person g ON g.role = 'garage' AND g.n = s.garage
    JOIN person d ON d.role = 'driver' AND d.n = CASE WHEN s.n % {known_every} = 0 THEN 0 ELSE pg_temp.h(s.n, 42) % {drivers} END
    JOIN marketplace.request r ON r.bucket = s.bucket AND r.id = s.request;
INSERT INTO marketplace.order_history (bucket, id, order_id, from_status, to_status, actor_role, at)
    SELECT bucket, pg_temp.id_at(bucket, at + step * interval '3 hours', n * 10 + step, 43), id, way[step - 1], way[step], 'system',
        at + step * interval '3 hours'
    FROM sold, (SELECT ARRAY['pending_payment', 'confirmed', 'preparing', 'ready_for_pickup', 'collected', 'in_transit', 'delivered',
        'completed'] AS way) AS w, generate_series(1, coalesce(array_position(way, status), CASE WHEN status IN ('disputed', 'refunded')
        THEN 7 ELSE 3 END)) AS step;
INSERT INTO marketplace.payment (bucket, id, order_id, customer, garage, kind, amount, currency, minor_unit, provider, reference,
        status, created_at, paid_at)
    SELECT s.bucket, pg_temp.id_at(s.bucket, at, s.n, 44), s.id, s.customer, g.id, 'full', amount + 10, 'QAR', 2, 'sandbox', 'p' || s.n,
        'paid', at, at
    FROM sold s JOIN person g ON g.role = 'garage' AND g.n = s.garage WHERE status <> 'pending_payment';
INSERT INTO marketplace.dispute (bucket, id, order_id, number, customer, garage, garage_name, reason, description, refund_percent,
        refund_amount, currency, minor_unit, status, created_at, resolved_at)
    SELECT bucket, pg_temp.id_at(bucket, created_at + interval '30 hours', n, 45), id, number, customer, garage, garage_name, 'wrong_part',
        'Not what I ordered', 100, total, 'QAR', 2, CASE status WHEN 'disputed' THEN 'open' ELSE 'resolved' END,
        created_at + interval '30 hours', CASE status WHEN 'refunded' THEN created_at + interval '50 hours' END
    FROM (SELECT *, right(number, 7)::bigint AS n FROM marketplace.orders WHERE number LIKE '{prefix}-%') AS o
    WHERE status IN ('disputed', 'refunded') AND id IN (SELECT id FROM sold);
INSERT INTO marketplace.review (bucket, id, order_id, customer, garage, author, rating, comment, status, created_at)
    SELECT s.bucket, pg_temp.id_at(s.bucket, at + interval '40 hours', s.n, 46), s.id, s.customer, g.id, 'S.', 1 + pg_temp.h(s.n, 47) % 5,
        'As described', CASE WHEN s.at > now() - interval '16 days' AND s.n % 2 = 0 THEN 'pending' WHEN s.n % 40 = 0 THEN 'rejected'
            ELSE 'published' END, at + interval '40 hours'
    FROM sold s JOIN person g ON g.role = 'garage' AND g.n = s.garage WHERE status = 'completed' AND s.n % 10 <> 7;
INSERT INTO marketplace.notification (bucket, id, account, event, kind, subject, about, created_at, read_at)
    SELECT bucket, pg_temp.id_at(bucket, at, n, 48), customer, pg_temp.id_at(bucket, at, n, 49), 'bid.submitted', id, '{{}}', at,
        CASE WHEN n % 20 <> 0 THEN at + interval '1 hour' END
    FROM wanted;
