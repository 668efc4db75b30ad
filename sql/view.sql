-- view: what the views show of the entity tables, and to whom.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox');
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
\pset null '-'

-- Two views an entity, with a comment, and nothing else but versions and those of webhooks.
SELECT count(*) FROM canopy_summit.entities();
SELECT coalesce(entity, relname) AS odd FROM (SELECT entity || suffix AS entity FROM canopy_summit.entities() AS entity, unnest(ARRAY['', '_all']) AS suffix) e
	FULL JOIN (SELECT * FROM pg_class WHERE relnamespace = 'canopy'::regnamespace
		AND relname NOT IN ('pull_version', 'pull_status', 'reconnect_needed', 'monitoring_event', 'servicing_action', 'data_update', 'document_validation')) v ON relname = entity
WHERE relkind IS DISTINCT FROM 'v' OR obj_description(v.oid, 'pg_class') IS NULL;
-- Every column of a table is in both views, under its name; every one in cents has a twin behind it.
CREATE TEMP VIEW tabled AS
	SELECT c.relname AS entity, a.attname AS column_name, a.attnum, format_type(a.atttypid, NULL) AS type FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE c.relnamespace = 'canopy_summit'::regnamespace AND c.relname IN (SELECT canopy_summit.entities()) AND c.relkind = 'r' AND a.attnum > 0;
CREATE TEMP VIEW viewed AS
	SELECT c.relname AS view, a.attname AS column_name, a.attnum, format_type(a.atttypid, a.atttypmod) AS type FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE c.relnamespace = 'canopy'::regnamespace AND a.attnum > 0 AND regexp_replace(c.relname, '_all$', '') IN (SELECT canopy_summit.entities());
SELECT entity, t.column_name, view || suffix AS view FROM tabled t CROSS JOIN unnest(ARRAY['', '_all']) AS suffix
	LEFT JOIN viewed v ON v.view = t.entity || suffix AND v.column_name = t.column_name
		AND v.type = CASE t.type WHEN 'canopy_summit.personal_text' THEN 'text' WHEN 'canopy_summit.personal_integer' THEN 'integer' ELSE t.type END
WHERE v.column_name IS NULL AND NOT (t.column_name = 'is_current' AND suffix = '');
SELECT count(*) AS in_cents, count(*) FILTER (WHERE twin.type = 'numeric(14,2)' AND twin.attnum = cents.attnum + 1) AS with_twin
FROM viewed cents LEFT JOIN viewed twin ON twin.view = cents.view AND twin.column_name = regexp_replace(cents.column_name, '_cents$', '')
WHERE cents.type = 'bigint' AND cents.column_name LIKE '%\_cents' AND cents.column_name NOT LIKE '%tenth_of_cents';
SELECT view, column_name, type FROM viewed WHERE column_name LIKE 'per_mile_premium%' ORDER BY view, attnum;
SELECT DISTINCT string_agg(column_name, ', ' ORDER BY attnum) AS first_columns FROM viewed WHERE attnum <= 5 AND view NOT LIKE '%all' GROUP BY view ORDER BY 1;
SELECT count(DISTINCT view) FROM viewed WHERE column_name IN ('is_current', 'is_data', 'version', 'fetched_at') AND view LIKE '%\_all' GROUP BY column_name;

-- Money: exact, signed, NULL where unknown.
SELECT (canopy_store_pull('{"pull_id": "p1", "status": "SUCCESS", "account_identifier": "acc", "created_at": "2026-01-01T00:00:00Z", "meta_data": {"id": "C-1"},
	"first_name": "Ann", "last_name": "", "unknown": "Ann", "drivers": [{"driver_id": "d", "first_name": "Ann", "age": 36, "age_licensed": 16}],
	"policies": [
	{"policy_id": "a", "name": "Auto", "carrier_policy_number": "N-1", "total_premium_cents": 120450, "amount_paid_cents": -5, "deductible_cents": 0, "expiry_date": "2026-05-01T05:00:00Z",
	 "vehicles": [{"vehicle_id": "v", "vin": "VIN", "make": "Opel", "coverages": [{"name": "X", "premium_cents": 99999999999999, "per_mile_premium_tenth_of_cents": 65}]}]}]}',
	fetched_at => '2026-01-02')).version;
SELECT total_premium_cents, total_premium, amount_paid, deductible, amount_due_cents, amount_due FROM canopy.policy;
SELECT policy_id, vehicle_id, premium, per_mile_premium_tenth_of_cents, per_mile_premium FROM canopy.vehicle_coverage;
SELECT sum(total_premium), pg_typeof(total_premium) FROM canopy.policy GROUP BY 2;

-- Only the account's newest pull is shown; the other views show all of them, and which is which.
SELECT (canopy_store_pull('{"pull_id": "p2", "status": "SUCCESS", "account_identifier": "acc", "created_at": "2026-02-01T00:00:00Z",
	"policies": [{"policy_id": "b", "total_premium_cents": 1}]}', fetched_at => '2026-02-02')).version;
SELECT (canopy_store_pull('{"pull_id": "p3", "status": "PROCESSING", "account_identifier": "acc", "created_at": "2026-03-01T00:00:00Z"}', fetched_at => '2026-03-02')).version;
SELECT server, environment, pull_id, account_identifier, meta_data, policy_id FROM canopy.policy;
SELECT pull_id, is_current, is_data, version, fetched_at, policy_id FROM canopy.policy_all ORDER BY pull_id;
SELECT pull_id, is_current, is_data, version, fetched_at, status FROM canopy.pull_all ORDER BY pull_id;
SELECT pull_id, meta_data FROM canopy.vehicle_all;
SELECT count(*) FROM canopy.vehicle;
-- Without its own row, as after a restore and before canopy_remap(), a pull's other rows are still shown.
BEGIN;
DELETE FROM canopy_summit.pull;
SELECT pull_id, meta_data, policy_id FROM canopy.policy_all ORDER BY pull_id;
SELECT pull_id, environment, account_identifier, meta_data, is_data, version FROM canopy.vehicle_all ORDER BY pull_id;
ROLLBACK;

-- A filter reaches the index.
CREATE FUNCTION pg_temp.plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line || E'\n';
	END LOOP;
	RETURN plan;
END
$$;
BEGIN;
INSERT INTO canopy_summit.pull_state SELECT (jsonb_populate_record(s, jsonb_build_object('pull_id', 'many' || i, 'account_identifier', 'many' || i))).*
FROM canopy_summit.pull_state s, generate_series(1, 3000) i WHERE pull_id = 'p2';
INSERT INTO canopy_summit.pull (server, pull_id, environment, is_current) SELECT 'canopy', 'many' || i, 'production', true FROM generate_series(1, 3000) i;
INSERT INTO canopy_summit.policy (server, pull_id, environment, account_identifier, is_current, ordinal, expiry_date)
SELECT 'canopy', 'many' || i, 'production', 'many' || i, true, 1, date '2000-01-01' + i FROM generate_series(1, 3000) i;
INSERT INTO canopy_summit.vehicle (server, pull_id, is_current, ordinal) SELECT 'canopy', 'many' || i, true, 1 FROM generate_series(1, 3000) i;
ANALYZE canopy_summit.pull_state, canopy_summit.pull, canopy_summit.policy, canopy_summit.vehicle;
SELECT pg_temp.plan($$SELECT * FROM canopy.policy WHERE expiry_date = '2001-01-01'$$) LIKE '%policy_expiry_date%' AS by_date,
	pg_temp.plan($$SELECT * FROM canopy.policy WHERE pull_id = 'many1'$$) LIKE '%policy_key%' AS by_pull;
-- Only what a query reads is joined.
SELECT pg_temp.plan($$SELECT environment, account_identifier FROM canopy.policy$$) NOT LIKE '% on pull%' AS account_in_policy,
	pg_temp.plan($$SELECT server, pull_id, ordinal, vehicle_id, year FROM canopy.vehicle$$) NOT LIKE '% on pull%' AS rows_alone,
	pg_temp.plan($$SELECT * FROM canopy.policy$$) NOT LIKE '%Join%' AS policies_alone,
	pg_temp.plan($$SELECT sum(premium_cents) FROM canopy.vehicle_coverage$$) NOT LIKE '% on vehicle o%' AS coverages_alone,
	pg_temp.plan($$SELECT vehicle_id FROM canopy.vehicle_coverage_all$$) LIKE '% on vehicle o%' AS covered_joined,
	pg_temp.plan($$SELECT environment, account_identifier, meta_data FROM canopy.vehicle$$) LIKE '% on pull p%' AS pull_joined,
	pg_temp.plan($$SELECT * FROM canopy.vehicle_all$$) LIKE '% on pull_state s%' AS state_joined;
SELECT environment, count(*) FROM canopy.vehicle GROUP BY 1;
ROLLBACK;
-- Behind two that every row has, wide columns come before narrow ones, and what varies in width last.
SELECT attrelid::regclass, attname FROM (
	SELECT attrelid, attname, attlen, lag(attlen) OVER (PARTITION BY attrelid ORDER BY attnum) AS before
	FROM canopy_summit.entities() AS entity JOIN pg_attribute ON attrelid = format('canopy_summit.%I', entity)::regclass AND attnum > 0
	WHERE attname NOT IN ('is_current', 'ordinal')) AS a
WHERE attlen > before;

-- Levels: who sees what.
CREATE ROLE regress_canopy_reader;
CREATE ROLE regress_canopy_pii;
CREATE ROLE regress_canopy_fetcher;
CREATE ROLE regress_canopy_operator;
CREATE ROLE regress_canopy_none;
SELECT canopy_summit.grant_access(role::regrole, level) FROM (VALUES ('regress_canopy_reader', 'reader'), ('regress_canopy_pii', 'pii_reader'),
	('regress_canopy_fetcher', 'fetcher'), ('regress_canopy_operator', 'operator')) AS g(role, level);
SELECT canopy_summit.grant_access('regress_canopy_none', 'guest');
CREATE FUNCTION pg_temp.outcome(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE 'SELECT string_agg(q::text, '' '') FROM (' || query || ') AS q' INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;
PREPARE probe AS SELECT query, pg_temp.outcome(query) FROM unnest(ARRAY[
	'SELECT first_name, last_name, extra, meta_data FROM canopy.pull_all WHERE pull_id = ''p1''', 'SELECT first_name, age, age_licensed FROM canopy.driver_all',
	'SELECT vin, make, meta_data FROM canopy.vehicle_all', 'SELECT carrier_policy_number, name, total_premium FROM canopy.policy_all WHERE pull_id = ''p1''',
	'SELECT count(*) FROM canopy.pull_all WHERE first_name = ''Ann''', 'SELECT count(*) FROM canopy_summit.pull', 'SELECT count(*) FROM canopy_summit.pull_state',
	'SELECT count(*) FROM canopy_summit.pull_version', 'SELECT count(*), count(pull) FROM canopy.pull_version', 'SELECT count(*) FROM canopy_summit.schema_drift WHERE path = ''pull.unknown''',
	'SELECT count(*) FROM canopy_summit.added_column', 'SELECT canopy_summit.reads_pii()', 'SELECT count(*) FROM pg_stats WHERE schemaname = ''canopy_summit'' AND tablename = ''pull''']) AS query;
ANALYZE canopy_summit.pull;
SET ROLE regress_canopy_reader;
EXECUTE probe;
SET ROLE regress_canopy_pii;
EXECUTE probe;
SET ROLE regress_canopy_fetcher;
EXECUTE probe;
SET ROLE regress_canopy_operator;
EXECUTE probe;
SET ROLE regress_canopy_none;
EXECUTE probe;
RESET ROLE;
-- An account's identifier is personal in every view that has it.
SET ROLE regress_canopy_reader;
SELECT accounts, string_agg(view, ' ' ORDER BY view COLLATE "C") AS views
FROM (SELECT relname AS view, pg_temp.outcome(format('SELECT DISTINCT account_identifier AS account FROM canopy.%I WHERE account_identifier IS NOT NULL', relname)) AS accounts
	FROM pg_class c WHERE relnamespace = 'canopy'::regnamespace AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'account_identifier')) AS v
WHERE accounts IS NOT NULL GROUP BY accounts;
RESET ROLE;
-- Neither a plan that somebody else has made nor somebody else's view lifts the mask.
PREPARE names AS SELECT first_name FROM canopy.pull_all WHERE pull_id = 'p1';
EXECUTE names;
SET ROLE regress_canopy_reader;
EXECUTE names;
SET ROLE regress_canopy_pii;
EXECUTE names;
CREATE TEMP VIEW their_names AS SELECT first_name FROM canopy.pull_all WHERE pull_id = 'p1';
GRANT SELECT ON their_names TO regress_canopy_reader;
SET ROLE regress_canopy_reader;
SELECT * FROM their_names;
RESET ROLE;

-- Every personal column of every view is masked: rows in which whatever is personal says "secret", or 4242.
CREATE FUNCTION pg_temp.fill(entity text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO canopy_summit.%1$I SELECT * FROM jsonb_populate_record(NULL::canopy_summit.%1$I, $1)', entity) USING (
		SELECT jsonb_object_agg(column_name, CASE type WHEN 'canopy_summit.personal_text' THEN '"secret"' WHEN 'canopy_summit.personal_integer' THEN '4242'
			WHEN 'jsonb' THEN '"secret"' WHEN 'text' THEN '"open"' WHEN 'text[]' THEN '["open"]' WHEN 'date' THEN '"2000-01-01"'
			WHEN 'timestamp with time zone' THEN '"2000-01-01T00:00:00Z"' WHEN 'boolean' THEN 'true' ELSE '1' END::jsonb)
			|| '{"server": "canopy", "pull_id": "filled"}'
		FROM tabled WHERE tabled.entity = fill.entity);
END
$$;
CREATE FUNCTION pg_temp.shown() RETURNS TABLE (view name, column_name text, value jsonb) LANGUAGE plpgsql AS $$
BEGIN
	FOR view IN SELECT relname FROM pg_class c WHERE relnamespace = 'canopy'::regnamespace
		AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'pull_id') LOOP
		RETURN QUERY EXECUTE format('SELECT %L::name, e.key, e.value FROM canopy.%I v, LATERAL jsonb_each(to_jsonb(v)) AS e WHERE v.pull_id = ''filled''', view, view);
	END LOOP;
END
$$;
INSERT INTO canopy_summit.pull_state SELECT (jsonb_populate_record(s, '{"pull_id": "filled", "is_current": true, "account_identifier": null}')).*
FROM canopy_summit.pull_state s WHERE pull_id = 'p1';
SELECT count(*) FROM canopy_summit.entities() AS entity, LATERAL pg_temp.fill(entity);
CREATE TEMP TABLE shown AS SELECT 'superuser' AS reader, * FROM pg_temp.shown();
GRANT ALL ON shown TO regress_canopy_reader, regress_canopy_pii;
SET ROLE regress_canopy_reader;
INSERT INTO shown SELECT 'reader', * FROM pg_temp.shown();
SET ROLE regress_canopy_pii;
INSERT INTO shown SELECT 'pii_reader', * FROM pg_temp.shown();
RESET ROLE;
SELECT reader, count(*), count(DISTINCT view) AS views, count(*) FILTER (WHERE value = '"secret"') AS secret_texts, count(*) FILTER (WHERE value = '4242') AS secret_numbers,
	count(*) FILTER (WHERE value = '"***"') AS masked, count(*) FILTER (WHERE value = 'null') AS nulls
FROM shown GROUP BY reader ORDER BY reader;
SELECT count(*) * 2 AS personal_columns, count(*) FILTER (WHERE type LIKE '%text') * 2 AS texts FROM tabled WHERE type LIKE '%personal%';
SELECT count(*) * 2 AS documents FROM tabled WHERE type = 'jsonb';
-- What is not personal is the same for all.
SELECT count(*) AS differing FROM shown a JOIN shown b USING (view, column_name)
WHERE a.reader = 'superuser' AND a.value NOT IN ('"secret"', '4242') AND b.value IS DISTINCT FROM a.value;

DROP EXTENSION canopy_summit CASCADE;
DROP OWNED BY regress_canopy_reader, regress_canopy_pii;
DROP ROLE regress_canopy_reader, regress_canopy_pii, regress_canopy_fetcher, regress_canopy_operator, regress_canopy_none;
