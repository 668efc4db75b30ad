-- drift: fields that the API sends and the tables do not expect, and columns for them.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
\pset null '-'

-- A pull that has just what the tables expect has no drift, whatever it leaves out.
SELECT version, changed FROM canopy_store_pull('{"pull_id": "p1", "status": "SUCCESS", "policies": [], "funnel": {}, "answers": null}');
SELECT DISTINCT kind, split_part(path, '.', 1) AS entity FROM canopy_summit.schema_drift;
-- Missing is what its version before had, in some object of an entity that it still has; also a late one, and one without property data.
SELECT version FROM unnest(ARRAY[
	'{"pull_id": "less", "status": "SUCCESS", "first_name": "Ann", "funnel": {"stage": "NEW"}, "agents": [{"email": "a"}], "policies": [
		{"policy_id": "a", "name": "x", "vehicles": [{"make": "m", "vehicle_id": "v"}, {"year": 1, "lien_holder_address": {"city": "c", "zip": "z"}}],
		 "dwellings": [{"dwelling_id": "d", "property_data": {"year_built": 1}}]}]}',
	'{"pull_id": "less", "status": "SUCCESS", "first_name": null, "funnel": {"premium": 7}, "policies": {"policy0": {"policy_id": "a"},
		"policy1": {"vehicles": [{"vehicle_id": "v"}, {"year": 2, "LienHolderAddress": {"city": "c"}}], "dwellings": {"dwelling_id": "d"}}}}',
	'{"pull_id": "less", "policies": [{"name": "x"}]}']::jsonb[]) WITH ORDINALITY AS d(pull, number),
	LATERAL canopy_store_pull(pull, fetched_at => '2026-01-01'::timestamptz + number * interval '1 hour');
SELECT version FROM canopy_store_pull('{"pull_id": "less", "status": "STARTED"}', fetched_at => '2026-01-01 01:30');
SELECT version, drift FROM canopy_summit.pull_version WHERE pull_id = 'less' ORDER BY version;

-- Unknown fields at every level, values of other types, and where an array or object was expected.
SELECT version FROM canopy_store_pull('{"pull_id": "p2", "status": "SUCCESS", "score": 1, "no_claims": "maybe",
	"funnel": {"stage": "NEW", "colour": "red", "premium": "much", "assignee": {"email": "a@b.example", "pager": 7}},
	"policies": [
		{"policy_id": "a", "score": {"x": 1}, "effective_date": "soon", "vehicles": [
			{"vehicle_id": "v", "wheels": 4, "drivers": [{"driver_id": "d", "nick": "Z"}], "coverages": "all", "garaging_address": [{"city": "X", "planet": "Y"}]}],
			"life": {"life_policy_details": {"face_amount_cents": 5, "pull_id": "own", "mood": "good"}, "surprise": [1]}},
		{"policy_id": "b", "score": null, "Name": "case", "life": "long", "server": "mine", "ordinal": 7, "extra": {"a": 1}, "pull_id": "mine", "declared_pull_id": 1}],
	"drivers": {"driver_id": "d2", "nick": "Y"}, "documents": 5, "claims": ["c", null, {"claim_id": "c1"}], "agents": [[{"agent_info_id": "x"}]]}');
SELECT kind, path, versions FROM canopy_summit.schema_drift WHERE kind <> 'missing' ORDER BY kind, path;
-- All of it is in extra, at its place.
SELECT 'pull' AS entity, extra FROM canopy_summit.pull WHERE pull_id = 'p2'
UNION ALL SELECT 'policy ' || ordinal, extra FROM canopy_summit.policy
UNION ALL SELECT 'vehicle', extra FROM canopy_summit.vehicle
UNION ALL SELECT 'vehicle_driver', extra FROM canopy_summit.vehicle_driver
UNION ALL SELECT 'address', extra FROM canopy_summit.address
UNION ALL SELECT 'life_details ' || declared_pull_id, extra FROM canopy_summit.life_details
UNION ALL SELECT 'driver', extra FROM canopy_summit.driver
UNION ALL SELECT 'claim', extra FROM canopy_summit.claim;
SELECT funnel_stage, funnel_premium, funnel_assignee_email FROM canopy_summit.pull WHERE pull_id = 'p2';
-- Versions add up, servers do not; a version that has no drift has none.
SELECT version FROM canopy_store_pull('{"pull_id": "p3", "score": 1}');
SELECT version FROM canopy_store_pull('{"pull_id": "p3", "score": 2}', fetched_at => now() + interval '1 s');
CREATE SERVER other FOREIGN DATA WRAPPER canopy_api;
SELECT version FROM canopy_store_pull('{"pull_id": "p3", "score": 2}', server => 'other');
SELECT server, kind, path, versions, first_seen_at <= last_seen_at AS ordered FROM canopy_summit.schema_drift WHERE path = 'pull.score' ORDER BY server;

-- Names that would break a path or a message, or that say more than the name of a field.
SELECT version FROM canopy_store_pull(jsonb_build_object('pull_id', 'p4', '', 1, 'a.b', 1, 'ü"''', 1, E'line\nbreak', 1, repeat('ü', 300), 1,
	repeat('x', 63), 1, repeat('y', 64), 1, '123-45-6789', 1, 'ann@example.com', 1, 'Ann Smith', 1, 'p5551234', 1, '7', 1, 'owner4_2025', 1, 'someField', 1,
	'funnel', jsonb_build_object('5551234', 1, 'good', 1), 'agents', jsonb_build_array(jsonb_build_object('email', 'e', 'HO0000001', 'x'))));
SELECT length(path), left(path, 30) AS path FROM canopy_summit.schema_drift
WHERE kind = 'new' AND path IN (SELECT jsonb_array_elements_text(drift -> 'new') FROM canopy_summit.pull_version WHERE pull_id = 'p4') ORDER BY path COLLATE "C";
-- Many of them are all kept in extra; 200 paths of a kind are remembered.
SELECT version FROM canopy_store_pull((SELECT jsonb_object_agg('field' || i, i) || '{"pull_id": "p5"}' FROM generate_series(1, 1000) i));
SELECT jsonb_array_length(drift -> 'new'), (SELECT count(*) FROM jsonb_object_keys(extra)) FROM canopy_summit.pull_version JOIN canopy_summit.pull USING (pull_id)
WHERE pull_id = 'p5';

-- Every type that a field can be read as.
SELECT type, canopy_summit.add_column('policy', 'new_' || row_number() OVER (), type)
FROM unnest(ARRAY['text', 'text[]', 'boolean', 'integer', 'bigint', 'numeric', 'double precision', 'date', 'timestamptz', 'jsonb']::regtype[]) AS type;
SELECT column_name, type, personal, format_type(atttypid, atttypmod) = type AS as_wanted
FROM canopy_summit.added_column JOIN pg_attribute ON attrelid = 'canopy_summit.policy'::regclass AND attname = column_name ORDER BY attnum;

-- And everything that a column cannot be.
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
CREATE DOMAIN word AS text;
\pset format unaligned
SELECT arguments, pg_temp.outcome(format('SELECT canopy_summit.add_column(%s)', arguments)) FROM unnest(ARRAY[
	$$'policy', 'x', 'smallint'$$, $$'policy', 'x', 'varchar'$$, $$'policy', 'x', 'real'$$, $$'policy', 'x', 'timestamp'$$, $$'policy', 'x', 'json'$$,
	$$'policy', 'x', 'integer[]'$$, $$'policy', 'x', 'word'$$, $$'policy', 'x', 'canopy_summit.personal_text'$$, $$'policy', 'x', 'pg_class'$$,
	$$'no_such', 'x', 'text'$$, $$'pull_version', 'x', 'text'$$, $$'', 'x', 'text'$$, $$'canopy_summit.policy', 'x', 'text'$$,
	$$'policy', 'name', 'text'$$, $$'policy', 'server', 'text'$$, $$'policy', 'extra', 'jsonb'$$, $$'policy', 'xmin', 'text'$$, $$'policy', 'new_1', 'text'$$,
	$$'policy', '', 'text'$$, $$'policy', 'environment', 'text'$$, $$'policy', 'total_premium', 'numeric'$$,
	$$'policy', '_cents', 'bigint'$$, $$'policy', 'name_cents', 'bigint'$$, $$'policy', 'new_1_cents', 'bigint'$$, $$'policy', 'ctid_cents', 'bigint'$$,
	$$'policy', 'extra_cents', 'bigint'$$, $$'vehicle', 'meta_data_cents', 'bigint'$$, $$'policy', 'declared_cents', 'bigint'$$, $$'policy', 'declared_x_cents', 'bigint'$$,
	$$'policy', 'total_premium_cents', 'bigint'$$, $$'policy', 'is_data_cents', 'bigint'$$, $$'policy', 'tableoid', 'bigint'$$,
	$$'policy', 'per_mile_premium_tenth_of_cents', 'bigint'$$, $$'policy', repeat('x', 64), 'text'$$, $$'policy', repeat('ü', 32), 'text'$$]) AS arguments;
\pset format aligned
SELECT count(*) FROM pg_attribute WHERE attrelid = 'canopy_summit.policy'::regclass AND attname = 'x';
-- What is only like one of those is a name.
SELECT canopy_summit.add_column('policy', name, type) FROM (VALUES ('_cents', 'text'::regtype), ('x_cents', 'bigint'), ('_x_cents', 'bigint'), ('Name', 'text'),
	(repeat('z', 63), 'text'), ('%I $1 "quoted" ''', 'bigint'), (E'line\nbreak_cents', 'bigint')) AS n(name, type);
SELECT "_cents", x, x_cents, _x, "%I $1 ""quoted"" '" FROM canopy.policy_all LIMIT 0;
SELECT canopy_summit.add_column(NULL, 'x', 'text') IS NULL AS nothing, canopy_summit.add_column('policy', NULL, 'text') IS NULL AS nothing;

-- A column takes the field from extra: at once for what comes, after canopy_remap() for what is there.
SELECT canopy_summit.add_column('pull', 'score', 'integer', personal => false), canopy_summit.add_column('policy', 'score', 'jsonb'),
	canopy_summit.add_column('vehicle_driver', 'nick', 'text'), canopy_summit.add_column('pull', 'funnel_colour', 'text', false),
	canopy_summit.add_column('pull', 'Two Words', 'text', false);
SELECT score, extra ? 'score' AS in_extra FROM canopy_summit.pull WHERE pull_id = 'p2';
SELECT version, changed FROM canopy_store_pull('{"pull_id": "p6", "score": 3, "Two Words": "yes"}');
SELECT score, "Two Words", extra FROM canopy.pull_all WHERE pull_id = 'p6';
SELECT canopy_remap() > 0 AS started;
CALL canopy_summit.run_tasks();
SELECT pull_id, score, funnel_colour, extra ? 'score' AS in_extra, extra -> 'funnel' AS funnel FROM canopy.pull_all WHERE pull_id IN ('p2', 'p3') ORDER BY pull_id, server;
SELECT policy_id, score, extra ? 'score' AS in_extra FROM canopy.policy ORDER BY ordinal;
-- The drift says what was so when a version came.
SELECT path, versions FROM canopy_summit.schema_drift WHERE path = 'pull.score' AND server = 'canopy';
-- Masked unless it was said that it is nothing personal.
CREATE ROLE regress_canopy_reader;
SELECT canopy_summit.grant_access('regress_canopy_reader', 'reader');
SET ROLE regress_canopy_reader;
SELECT pull_id, score, funnel_colour FROM canopy.pull WHERE pull_id = 'p2';
SELECT policy_id, score FROM canopy.policy ORDER BY ordinal;
SELECT nick FROM canopy.vehicle_driver;
SELECT pg_temp.outcome($$SELECT canopy_summit.add_column('policy', 'mine', 'text')$$);
SELECT pg_temp.outcome($$INSERT INTO canopy_summit.added_column VALUES ('policy', 'mine', 'text', false)$$);
RESET ROLE;

-- An administrator need not own the tables.
CREATE ROLE regress_canopy_admin;
SELECT canopy_summit.grant_access('regress_canopy_admin', 'admin');
SET ROLE regress_canopy_admin;
SELECT canopy_summit.add_column('policy', 'by_admin', 'text');
SELECT count(by_admin) FROM canopy.policy;
RESET ROLE;

-- A field that is named like one of a group is not that field.
SELECT version FROM canopy_store_pull('{"pull_id": "group", "funnel": {"premium": 7, "assignee": {"email": "y"}, "assignee_email": "x"},
	"funnel_premium": 5, "policies": [{"policy_id": "a", "life_life_policy_riders": [{"name": "r"}]}]}');
SELECT funnel_premium, funnel_assignee_email, extra FROM canopy_summit.pull WHERE pull_id = 'group';
SELECT extra, (SELECT count(*) FROM canopy_summit.life_rider WHERE pull_id = 'group') AS riders FROM canopy_summit.policy WHERE pull_id = 'group';
DROP EXTENSION canopy_summit CASCADE;
DROP DOMAIN word;
DROP ROLE regress_canopy_reader, regress_canopy_admin;
