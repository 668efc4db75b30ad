-- store: what storing a pull makes of versions, entity rows and the pulls that views show.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox');
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';

CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ': ' || message || CASE WHEN hint <> '' THEN E'\n' || hint ELSE '' END;
END
$$;

-- The first state is version 1, the same state again is none, another is version 2.
SELECT * FROM canopy_store_pull('{"pull_id": "p", "status": "PROCESSING", "first_name": "Ann"}');
SELECT * FROM canopy_store_pull('{"pull_id": "p", "status": "PROCESSING", "first_name": "Ann"}');
SELECT * FROM canopy_store_pull('{"pull_id": "p", "status": "SUCCESS", "first_name": "Ann", "policies": [{"policy_id": "a"}]}');
SELECT * FROM canopy_store_pull('{"pull_id": "p", "status": "SUCCESS", "first_name": "Ann", "policies": [{"policy_id": "a"}]}');
-- A state that was there before, but is not the current one, is a state of its own.
SELECT * FROM canopy_store_pull('{"pull_id": "p", "status": "PROCESSING", "first_name": "Ann"}');
SELECT version, pull, drift ? 'replaced' AS replaced, received IS NULL AS as_sent, stored_by = SESSION_USER AS by_us
FROM canopy_summit.pull_version ORDER BY version;
SELECT server, pull_id, environment, is_data, is_current, version FROM canopy_summit.pull_state;
SELECT count(*) FROM canopy_summit.policy;

-- In an envelope or bare, it is the same pull; the object with a pull_id is the pull.
SELECT * FROM canopy_store_pull('{"success": true, "pull": {"pull_id": "p", "status": "PROCESSING", "first_name": "Ann"}}');
SELECT * FROM canopy_store_pull('{"pull": {"pull_id": "p2"}}');
SELECT * FROM canopy_store_pull('{"pull_id": "p3", "pull": {"pull_id": "p4"}}');
SELECT pull_id, extra FROM canopy_summit.pull WHERE pull_id LIKE 'p_' ORDER BY pull_id;

-- Neither the order of keys nor that of objects in arrays says anything; that of plain values does.
SELECT * FROM canopy_store_pull('{"pull_id": "o", "policies": [
	{"policy_id": "a", "vehicles": [{"vehicle_id": "1", "uses": ["x", "y"]}, {"vehicle_id": "2"}]}, {"policy_id": "b"}]}');
SELECT * FROM canopy_store_pull('{"policies": [{"policy_id": "b"},
	{"vehicles": [{"vehicle_id": "2"}, {"uses": ["x", "y"], "vehicle_id": "1"}], "policy_id": "a"}], "pull_id": "o"}');
SELECT * FROM canopy_store_pull('{"pull_id": "o", "policies": [{"policy_id": "b"},
	{"policy_id": "a", "vehicles": [{"vehicle_id": "1"}, {"uses": ["x", "y"], "vehicle_id": "2"}]}]}');
SELECT * FROM canopy_store_pull('{"pull_id": "o", "policies": [{"policy_id": "b"},
	{"policy_id": "a", "vehicles": [{"vehicle_id": "1"}, {"uses": ["y", "x"], "vehicle_id": "2"}]}]}');
-- Near misses are other states: a value moved, a number for a string, null for nothing, an object twice.
SELECT version, changed, pull FROM unnest(ARRAY[
	'{"pull_id": "h", "a": {"b": "c"}}', '{"pull_id": "h", "a": {"bc": ""}}', '{"pull_id": "h", "a": ["b", "c"]}',
	'{"pull_id": "h", "a": [["b"], "c"]}', '{"pull_id": "h", "a": ["b", ["c"]]}', '{"pull_id": "h", "a": 1}',
	'{"pull_id": "h", "a": "1"}', '{"pull_id": "h", "a": true}', '{"pull_id": "h", "a": null}', '{"pull_id": "h"}',
	'{"pull_id": "h", "a": {}}', '{"pull_id": "h", "a": []}', '{"pull_id": "h", "a": [{}]}', '{"pull_id": "h", "a": [{}, {}]}',
	'{"pull_id": "h", "a": [[{"b": 1}, {"c": 2}]]}', '{"pull_id": "h", "a": [[{"b": 1}], [{"c": 2}]]}']::jsonb[])
	WITH ORDINALITY AS d(pull, number), LATERAL canopy_store_pull(pull, fetched_at => '2026-01-01'::timestamptz + number * interval '1 s')
ORDER BY number;

-- A response that was asked for before the current one came is kept, and changes nothing.
SELECT * FROM canopy_store_pull('{"pull_id": "late", "status": "SUCCESS", "policies": [{"policy_id": "new"}]}', fetched_at => '2026-01-01 12:00');
SELECT * FROM canopy_store_pull('{"pull_id": "late", "status": "PROCESSING", "policies": [{"policy_id": "old"}]}', fetched_at => '2026-01-01 11:00');
SELECT * FROM canopy_store_pull('{"pull_id": "late", "status": "PROCESSING", "policies": [{"policy_id": "old"}]}', fetched_at => '2026-01-01 11:00');
SELECT * FROM canopy_store_pull('{"pull_id": "late", "status": "PROCESSING", "policies": [{"policy_id": "old"}]}', fetched_at => '2026-01-01 11:30');
SELECT version, fetched_at, pull ->> 'status' AS status FROM canopy_summit.pull_version WHERE pull_id = 'late' ORDER BY version;
SELECT policy_id, version, fetched_at FROM canopy.policy_all WHERE pull_id = 'late';
-- The same state asked for again is confirmed, so what was asked for in between is late too.
SELECT * FROM canopy_store_pull('{"pull_id": "late", "status": "SUCCESS", "policies": [{"policy_id": "new"}]}', fetched_at => '2026-01-01 14:00');
SELECT * FROM canopy_store_pull('{"pull_id": "late", "status": "INCOMPLETE", "policies": [{"policy_id": "between"}]}', fetched_at => '2026-01-01 13:00');
SELECT policy_id, version, fetched_at FROM canopy.policy_all WHERE pull_id = 'late';
-- Between one confirmation and the next the current state is what a late response says anyway.
SELECT * FROM canopy_store_pull('{"pull_id": "late", "status": "SUCCESS", "policies": [{"policy_id": "new"}]}', fetched_at => '2026-01-01 12:30');
-- A newer one is version 4, and the current one at once.
SELECT * FROM canopy_store_pull('{"pull_id": "late", "status": "SUCCESS", "policies": [{"policy_id": "newest"}]}', fetched_at => '2026-01-01 15:00');
SELECT policy_id, version, fetched_at FROM canopy.policy_all WHERE pull_id = 'late';

-- What is no pull.
\pset format unaligned
SELECT document, pg_temp.outcome(format('SELECT canopy_store_pull(%L)', document)) FROM unnest(ARRAY[
	'{}', '[]', '"p"', '1', 'null', 'true', '{"pull_id": null}', '{"pull_id": ""}', '{"pull_id": 7}', '{"pull_id": ["p"]}',
	'{"id": "p"}', '{"success": true, "pull": null}', '{"success": true, "pull": []}', '{"pull": {"id": 1}}',
	'[{"pull_id": "p"}]']) AS document;
SELECT pg_temp.outcome($$SELECT canopy_store_pull(NULL)$$);
SELECT pg_temp.outcome($$SELECT canopy_store_pull('{"pull_id": "x"}', fetched_at => NULL)$$);
SELECT pg_temp.outcome($$SELECT canopy_store_pull('{"pull_id": "x"}', fetched_at => 'infinity')$$);
SELECT pg_temp.outcome($$SELECT canopy_store_pull('{"pull_id": "x"}', fetched_at => '-infinity')$$);
SELECT pg_temp.outcome($$SELECT canopy_store_pull('{"pull_id": "x"}', server => 'nowhere')$$);
\pset format aligned
BEGIN READ ONLY;
SELECT canopy_store_pull('{"pull_id": "x"}');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT canopy_remap();
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- Nesting: 1,000 levels are stored, 1,001 are not.
SELECT depth, pg_temp.outcome(format('SELECT canopy_store_pull(%L)',
	'{"pull_id": "deep' || depth || '", "x": ' || repeat('[', depth - 1) || repeat(']', depth - 1) || '}'))
FROM unnest(ARRAY[1000, 1001, 1500]) AS depth;
SELECT pull_id, length(extra::text) FROM canopy_summit.pull WHERE pull_id LIKE 'deep%';

-- A fetch without property data does not forget what one with it has learned, dwelling by dwelling.
SELECT * FROM canopy_store_pull('{"pull_id": "pd", "policies": [{"policy_id": "a",
	"dwellings": [{"dwelling_id": "d1", "property_data": {"year_built": 1901}},
				  {"dwelling_id": "d2", "property_data": {"year_built": 1902}}, {"dwelling_id": "d3"}],
	"locations": [{"location_id": "l1", "property_data": {"year_built": 1911}}]}]}', fetched_at => '2026-01-01 10:00');
SELECT * FROM canopy_store_pull('{"pull_id": "pd", "policies": [{"policy_id": "a",
	"dwellings": [{"dwelling_id": "d1", "property_data": null}, {"dwelling_id": "d2"}, {"dwelling_id": "d3"}],
	"locations": [{"location_id": "l1"}]}]}', fetched_at => '2026-01-01 11:00');
-- One dwelling is gone, one is new, one has data of its own now, and so has the location.
SELECT * FROM canopy_store_pull('{"pull_id": "pd", "first_name": "Ann", "policies": [{"policy_id": "a",
	"dwellings": [{"dwelling_id": "d1"}, {"dwelling_id": "d4"}, {"dwelling_id": "d3", "property_data": {"year_built": 2003}}],
	"locations": [{"location_id": "l1", "property_data": {"year_built": 2011}}]}]}', fetched_at => '2026-01-01 12:00');
SELECT dwelling_id, location_id, year_built FROM canopy_summit.property_data WHERE pull_id = 'pd' ORDER BY ordinal;
SELECT jsonb_path_query_array(pull, '$.policies[*].dwellings[*]') FROM canopy_summit.pull_version WHERE pull_id = 'pd' AND version = 2;
-- What is no dwelling, has no id or is in no list gets in nobody's way.
SELECT * FROM canopy_store_pull('{"pull_id": "pd", "policies": [7, {"dwellings": {"dwelling_id": "d1"}}, {"dwellings": [null, "d1",
	{"dwelling_id": 1}, {"property_data": 1}, {"dwelling_id": "d1", "property_data": null}], "locations": null}]}', fetched_at => '2026-01-01 13:00');
SELECT jsonb_path_query(pull, 'strict $.policies[1, 2].dwellings') FROM canopy_summit.pull_version WHERE pull_id = 'pd' AND version = 3;

-- The views show a pull without account as soon as it has data: finished, or with policies.
SELECT count(canopy_store_pull(pull)) FROM unnest(ARRAY[
	'{"pull_id": "s1", "status": "SUCCESS"}', '{"pull_id": "s2", "status": "PROCESSING"}',
	'{"pull_id": "s3", "status": "PROCESSING", "policies": [{"policy_id": "x"}]}', '{"pull_id": "s4", "status": "PROCESSING", "policies": []}',
	'{"pull_id": "s5", "status": "SUCCESS", "is_archived": true}', '{"pull_id": "s6", "status": "SUCCESS", "is_archived": "true"}',
	'{"pull_id": "s7", "status": "SUCCESS", "type": "SERVICING"}', '{"pull_id": "s8", "status": "SUCCESS", "type": "CONTACT_ME"}',
	'{"pull_id": "s9", "status": "SUCCESS", "type": "DOCUMENT_UPLOAD"}']::jsonb[]) AS pull;
SELECT a.pull_id, is_data, is_current, p.pull_id IS NOT NULL AS shown
FROM canopy.pull_all a LEFT JOIN canopy.pull p USING (pull_id) WHERE a.pull_id LIKE 's_' ORDER BY a.pull_id;

-- Of an account they show the newest that has data.
CREATE FUNCTION pg_temp.store(pull_id text, account text, created_at text, fields jsonb DEFAULT '{"status": "SUCCESS"}')
RETURNS text LANGUAGE sql AS $$
	SELECT (canopy_store_pull(jsonb_build_object('pull_id', pull_id, 'account_identifier', account, 'created_at', created_at) || fields)).pull_id
$$;
CREATE TEMP VIEW shown AS
	SELECT account_identifier, string_agg(pull_id, ' ' ORDER BY pull_id) AS pulls FROM canopy.pull WHERE account_identifier LIKE 'acc%'
	GROUP BY account_identifier ORDER BY account_identifier;
SELECT pg_temp.store('a1', 'acc1', '2026-01-01T00:00:00Z');
TABLE shown;
SELECT pg_temp.store('a3', 'acc1', '2026-03-01T00:00:00Z', '{"status": "PROCESSING"}');
TABLE shown;
SELECT pg_temp.store('a2', 'acc1', '2026-02-01T00:00:00Z'), pg_temp.store('b1', 'acc2', '2026-02-01T00:00:00Z');
TABLE shown;
-- An older one that comes later changes nothing, and one without a date is the oldest.
SELECT pg_temp.store('a0', 'acc1', '2025-01-01T00:00:00Z'), pg_temp.store('a9', 'acc1', NULL);
TABLE shown;
-- Policies already there count.
SELECT pg_temp.store('a3', 'acc1', '2026-03-01T00:00:00Z', '{"status": "PROCESSING", "policies": [{"policy_id": "x"}]}');
TABLE shown;
-- Archived, it leaves the place to the one before; out of the archive, it takes it again.
SELECT pg_temp.store('a3', 'acc1', '2026-03-01T00:00:00Z', '{"status": "SUCCESS", "is_archived": true}');
TABLE shown;
SELECT pg_temp.store('a3', 'acc1', '2026-03-01T00:00:00Z', '{"status": "SUCCESS", "is_archived": false}');
TABLE shown;
-- It turns out to be another account's, or nobody's.
SELECT pg_temp.store('a3', 'acc2', '2026-03-01T00:00:00Z');
TABLE shown;
SELECT pg_temp.store('a3', NULL, '2026-03-01T00:00:00Z');
TABLE shown;
SELECT pull_id FROM canopy.pull WHERE pull_id = 'a3';
-- Its date changes, or its type.
SELECT pg_temp.store('a0', 'acc1', '2027-01-01T00:00:00Z');
TABLE shown;
SELECT pg_temp.store('a0', 'acc1', '2027-01-01T00:00:00Z', '{"status": "SUCCESS", "type": "SERVICING"}');
TABLE shown;
-- Of two with one date it is the one with the greater id, in whatever order they come.
SELECT pg_temp.store('t2', 'acc3', '2026-01-01T00:00:00Z'), pg_temp.store('t1', 'acc3', '2026-01-01T00:00:00Z'),
	pg_temp.store('t3', 'acc4', '2026-01-01T00:00:00Z'), pg_temp.store('t4', 'acc4', '2026-01-01T00:00:00Z');
TABLE shown;
-- A late response does not change the choice.
SELECT (canopy_store_pull('{"pull_id": "t2", "account_identifier": "acc3", "is_archived": true}', fetched_at => '2020-01-01')).version;
TABLE shown;
-- Another server's account of the same name is another account.
SET client_min_messages = error; -- a warning that environments mix: see server.sql
CREATE SERVER production FOREIGN DATA WRAPPER canopy_api;
RESET client_min_messages;
SELECT (canopy_store_pull('{"pull_id": "t1", "account_identifier": "acc3", "status": "SUCCESS", "created_at": "2028-01-01T00:00:00Z"}',
	server => 'production')).version;
SELECT server, environment, pull_id FROM canopy.pull WHERE account_identifier = 'acc3' ORDER BY server;
-- The choice can be made again from the states of the pulls.
CREATE TEMP TABLE before AS SELECT * FROM canopy_summit.pull_state;
UPDATE canopy_summit.pull_state SET is_current = NOT is_current;
SELECT canopy_remap() AS task_id \gset
CALL canopy_summit.run_tasks();
SELECT t.state, t.done = t.total AS all_of_them, t.total = (SELECT count(*) FROM before) AS all_pulls
FROM canopy_summit.progress t WHERE t.task_id = :task_id;
SELECT count(*) AS differing
FROM (TABLE before EXCEPT TABLE canopy_summit.pull_state UNION ALL (TABLE canopy_summit.pull_state EXCEPT TABLE before)) d;

-- Ids are opaque text.
SELECT (canopy_store_pull(jsonb_build_object('pull_id', 'id' || id, 'policies', jsonb_build_array(jsonb_build_object('policy_id', id))))).pull_id
FROM unnest(ARRAY['A', 'a', ' a', 'a ', 'ä', 'a/b?c', '''; DROP TABLE x; --', E'a\nb', '3f2504e0-4f89-11d3-0a0c-0305e82c330']) AS id;
SELECT pull_id, policy_id FROM canopy_summit.policy WHERE pull_id LIKE 'id%' ORDER BY pull_id COLLATE "C";

-- Unbalanced brackets in a string that looks like JSON are a string.
SELECT version FROM canopy_store_pull(jsonb_build_object('pull_id', 'brackets',
	'meta_data', '[' || repeat(']', 50000) || repeat('[', 49000) || '1e5'));
SELECT length(meta_data #>> '{}') FROM canopy_summit.pull WHERE pull_id = 'brackets';
-- An id must fit an index; an account that does not is none.
SELECT pg_temp.outcome($$SELECT canopy_store_pull(jsonb_build_object('pull_id', repeat('x', 513)))$$);
SELECT version FROM canopy_store_pull(jsonb_build_object('pull_id', 'long', 'status', 'SUCCESS', 'account_identifier', repeat('x', 6000)));
SELECT account_identifier, is_current FROM canopy_summit.pull_state WHERE pull_id = 'long';
SELECT length(account_identifier) FROM canopy_summit.pull WHERE pull_id = 'long';
-- The future cannot have been fetched yet.
SELECT pg_temp.outcome($$SELECT canopy_store_pull('{"pull_id": "x"}', fetched_at => clock_timestamp() + '1 hour')$$);
-- A late state is compared with, and completed from, the version that was current when it was requested.
CREATE FUNCTION pg_temp.store_dwelling(property_data text, fetched_at timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT version || CASE WHEN changed THEN ' changed' ELSE '' END
	FROM canopy_store_pull(format('{"pull_id": "late data", "policies": [{"policy_id": "a", "dwellings":
		[{"dwelling_id": "d", "property_data": %s}]}]}', property_data)::jsonb, fetched_at => fetched_at)
$$;
SELECT pg_temp.store_dwelling('null', '2026-01-01');
SELECT pg_temp.store_dwelling('{"year_built": 1950}', '2026-01-03');
SELECT pg_temp.store_dwelling('null', '2026-01-02');
SELECT pg_temp.store_dwelling('null', '2026-01-05');
SELECT pg_temp.store_dwelling('null', '2026-01-04');
SELECT version, pull #> '{policies,0,dwellings,0,property_data}' AS property_data FROM canopy_summit.pull_version
WHERE pull_id = 'late data' ORDER BY version;
-- A late state that says what the current one says is no version of its own.
SELECT version, changed FROM canopy_store_pull('{"pull_id": "same"}', fetched_at => '2026-01-02');
SELECT version, changed FROM canopy_store_pull('{"pull_id": "same"}', fetched_at => '2026-01-01');
DROP EXTENSION canopy_summit CASCADE;
