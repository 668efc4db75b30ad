-- What part webhook of test/bench/run measures with.
CREATE EXTENSION canopy_summit;
CREATE EXTENSION pgcrypto;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (team_id 'bench');
CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (base_url 'https://localhost:1', auth_url 'https://localhost:1');
CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (client_id 'bench', client_secret 'bench', webhook_secret 'bench secret');
CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (client_id 'bench', client_secret 'bench', webhook_secret 'bench secret');
CREATE SCHEMA bench;

-- One body of 1 kB, signed.
CREATE TABLE bench.signed AS
SELECT 'bench secret'::text AS secret, b.body, b.signed_at, extract(epoch FROM b.signed_at)::bigint::text AS time,
	public.sign_webhook('bench secret', b.body, 'canopy', b.signed_at) AS header,
	split_part(public.sign_webhook('bench secret', b.body, 'canopy', b.signed_at), 's=', 2) AS digest
FROM (SELECT convert_to(rpad('{"event_type": "NOTHING", "data": "', 1022, 'x') || '"}', 'UTF8') AS body, date_trunc('second', now()) AS signed_at) AS b;
-- Else the planner takes it for many rows, and compiles an expression for longer than it runs.
ANALYZE bench.signed;

-- How many of what a statement counts there are a second.
CREATE FUNCTION bench.rate(statement text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
	counted bigint;
BEGIN
	EXECUTE statement INTO counted;
	IF counted = 0 THEN
		RAISE EXCEPTION 'nothing is true of it: %', statement;
	END IF;
	RETURN round(counted / extract(epoch FROM clock_timestamp() - started));
END
$$;

CREATE SEQUENCE bench.number;
CREATE FUNCTION bench.body() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT '{"event_type": "NOTHING", "pull_id": "' || nextval('bench.number') || '", "data": "' || repeat('x', 950) || '"}'
$$;

-- A delivery that is received, and the same row as a plain table would take it.
CREATE FUNCTION bench.receive() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	body text := bench.body();
BEGIN
	RETURN (public.receive_webhook('canopy', jsonb_build_object('canopy-signature', public.sign_webhook('bench secret', body)), convert_to(body, 'UTF8'))).http_status;
END
$$;
CREATE TABLE bench.bare (id bigint PRIMARY KEY, server text, headers jsonb, body bytea, received_at timestamptz);
CREATE FUNCTION bench.keep() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	body text := bench.body();
BEGIN
	INSERT INTO bench.bare VALUES (nextval('bench.number'), 'canopy',
		jsonb_build_object('canopy-signature', public.sign_webhook('bench secret', body)), convert_to(body, 'UTF8'), now());
	RETURN 200;
END
$$;

-- Events of certificates, four of each policy.
CREATE FUNCTION bench.store(count integer) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(public.receive_webhook('summit', jsonb_build_object('X-Summit-Signature', public.sign_webhook('bench secret', b.body, 'summit')),
		convert_to(b.body, 'UTF8')))
	FROM generate_series(1, store.count) AS n, LATERAL (SELECT jsonb_build_object('delivery_id', 'dwk_' || n,
		'event', 'policy.' || (ARRAY['submitted', 'verified', 'lapsed', 'reinstated'])[1 + n % 4], 'occurred_at', now() + n * interval '1 second',
		'attempt', 1, 'data', jsonb_build_object('policy', jsonb_build_object('policy_number', 'P' || n / 4, 'expiry_date', '2027-01-01'),
			'certificate_holder', '{"reference_ids": {"property_id": "KEL-001", "unit_id": "204"}}'::jsonb))::text AS body) AS b
$$;
