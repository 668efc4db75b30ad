-- coerce: which JSON values fit which kind of column; what does not fit is in extra and in the drift.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
\pset null '-'

-- A column of each kind in one table; every policy of a pull has one value, in all of its fields.
SELECT count(*) FROM (VALUES
	('text', 'text'::regtype), ('array', 'text[]'), ('boolean', 'boolean'), ('integer', 'integer'), ('bigint', 'bigint'), ('cents', 'bigint'),
	('money_cents', 'bigint'), ('numeric', 'numeric'), ('double', 'double precision'), ('date', 'date'), ('moment', 'timestamptz'),
	('jsonb', 'jsonb')) AS k(name, type), LATERAL canopy_summit.add_column('policy', 'k_' || name, type);

CREATE FUNCTION pg_temp.store(pull_id text, VARIADIC vals jsonb[]) RETURNS integer LANGUAGE sql AS $$
	SELECT jsonb_array_length(policies)
	FROM (SELECT jsonb_agg(policy ORDER BY number)
		FROM unnest(vals) WITH ORDINALITY AS v(value, number),
			LATERAL (SELECT jsonb_object_agg(attname, value) || jsonb_build_object('policy_id', number, 'sent', value)
					 FROM pg_attribute WHERE attrelid = 'canopy_summit.policy'::regclass AND attname LIKE 'k\_%') AS p(policy)) AS a(policies),
		LATERAL canopy_store_pull(jsonb_build_object('pull_id', pull_id, 'policies', policies)) AS stored
$$;

-- What a column shows: its value, or that it stayed in extra, or NULL for nothing.
CREATE FUNCTION pg_temp.cell(column_name text, value text, extra jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN value IS NOT NULL AND extra ? column_name THEN 'BOTH'
				WHEN extra ? column_name AND extra -> column_name IS DISTINCT FROM extra -> 'sent' THEN 'CHANGED'
				WHEN extra ? column_name THEN 'extra' ELSE value END
$$;

SELECT pg_temp.store('words', 'null', '""', '"x"', '" x "', '"  "', 'true', 'false', '"true"', '"FALSE"', '"Yes"', '"n"', '"0"', '" t "',
	'"truth"', '"on"', '1', '0', '2', '-0', '1.0', '[]', '["a"]', '[["a"]]', '["a", "b"]', '[null]', '["a", null, ""]', '[1, true]',
	'[true]', '["a", ["b"]]', '[{"a": 1}]', '{}', '{"a": 1}', '"{\"a\": 1}"', '" [1, 2]"', '"{broken"', '"[]"', '"1"', '"null"',
	'"Zoë \"Z\" O''Hara, \\ {x}"');
SELECT extra -> 'sent' AS sent, pg_temp.cell('k_text', '<' || k_text || '>', extra) AS text, pg_temp.cell('k_array', k_array::text, extra) AS "array",
	pg_temp.cell('k_boolean', k_boolean::text, extra) AS boolean, pg_temp.cell('k_jsonb', k_jsonb::text, extra) AS jsonb
FROM canopy_summit.policy WHERE pull_id = 'words' ORDER BY ordinal;

SELECT pg_temp.store('numbers', 'null', '""', '0', '-0.0', '7', '-7', '7.0', '7.10', '7.5', '0.001', '"7"', '" 42 "', '"+7"', '"-7"', '"7."', '".5"',
	'"2.500"', '"7.00"', '"2.5%"', '"2.5 %"', '"%"', '"1,000"', '"$7"', '"1e3"', '1e3', '1.5e1', '1e-3', '"0x10"', '"٣"', '"1 2"', '"--1"',
	'2147483647', '2147483648', '-2147483648', '-2147483649', '9007199254740991', '9223372036854775807', '9223372036854775808',
	'-9223372036854775807', '99999999999999', '100000000000000', '-99999999999999', '-100000000000000', '99999999999999.0',
	'"NaN"', '"Infinity"', '"N/A"', '9e99', 'true', '[7]', '[[7]]', '["7"]', '[7, 8]', '[]', '[null]', '{"amount": 7}',
	to_jsonb(repeat('9', 101)), to_jsonb('0.' || repeat('1', 98)));
SELECT left((extra -> 'sent')::text, 22) AS sent, pg_temp.cell('k_integer', k_integer::text, extra) AS integer,
	pg_temp.cell('k_bigint', k_bigint::text, extra) AS bigint, pg_temp.cell('k_cents', k_cents::text, extra) AS cents,
	left(pg_temp.cell('k_numeric', k_numeric::text, extra), 22) AS numeric, pg_temp.cell('k_double', k_double::text, extra) AS double
FROM canopy_summit.policy WHERE pull_id = 'numbers' ORDER BY ordinal;
-- Of 100 digits a number is one; beyond that it is a text everywhere, written as short as can be.
SELECT pg_temp.store('huge', '1e99', '-1e99', '1e-100', '1e100', '-1e400', ('1' || repeat('0', 5000))::jsonb, '123e-1000', ('1' || repeat('2', 100))::jsonb,
	('0.' || repeat('3', 101))::jsonb);
SELECT ordinal, left(extra ->> 'sent', 12) AS sent, length(extra ->> 'sent'), jsonb_typeof(extra -> 'sent'), k_jsonb = extra -> 'sent' AS same,
	k_text = extra ->> 'sent' AS same_text FROM canopy_summit.policy WHERE pull_id = 'huge' ORDER BY ordinal;
SELECT version FROM canopy_store_pull('{"pull_id": "again", "a": [1e999, {"b": -1.5e-999, "555-1234": 1e999}], "c": 1e99}');
SELECT version, changed FROM canopy_store_pull('{"pull_id": "again", "a": ["1e999", {"b": "-1.5e-999", "555-1234": "1e999"}], "c": 1e99}');
SELECT pull, drift FROM canopy_summit.pull_version WHERE pull_id = 'again';
SELECT ordinal, pg_temp.cell('k_integer', k_integer::text, extra) AS integer, pg_temp.cell('k_bigint', k_bigint::text, extra) AS bigint,
	pg_temp.cell('k_cents', k_cents::text, extra) AS cents, length(k_numeric::text) AS digits, pg_temp.cell('k_double', k_double::text, extra) AS double,
	length(k_text) AS text, pg_temp.cell('k_date', k_date::text, extra) AS date
FROM canopy_summit.policy WHERE pull_id = 'huge' ORDER BY ordinal;

SELECT pg_temp.store('days', 'null', '""', '"2025-11-01"', '"2025-11-01T06:00:00.000Z"', '"2025-07-04T04:00:00.000Z"', '"2025-11-01T05:00:00Z"',
	'"2025-11-01T00:00:00"', '"2025-11-01T23:30:00-05:00"', '"2025-11-01T00:30:00+02:00"', '"2025-11-01 06:00:00+00"', '"2025-11-01T06:00Z"',
	'"2025-11-01t06:00:00z"', '"2025-11-01T06:00:00+0530"', '"2025-11-01T06:00:00.123456789Z"', '" 2025-11-01 "', '"11/01/2025"', '"12/31/1999"',
	'"02/29/2024"', '"2024-02-29"', '"2000-02-29"', '"1999-12-31T23:00:00Z"', '"1969-12-31T23:59:59.999999Z"', '"1999-12-31T23:00:00-01:00"', '"0001-01-01"',
	'"9999-12-31T23:59:59-12:00"', '["2025-11-01"]',
	'"2025-02-29"', '"2100-02-29"', '"02/29/2025"', '"0000-00-00"', '"0000-01-01"', '"2025-13-01"', '"2025-00-10"', '"2025-04-31"', '"13/01/2025"',
	'"10000-01-01"', '"2025-11-01T25:00:00Z"', '"2025-11-01T06:60:00Z"', '"2025-11-01T06:00:00+16:00"', '"2025-11-01T06:00:00 UTC"', '"2025-11-01T"',
	'"2025-11-01x"', '"1/1/2025"', '"11-01-2025"', '"20251101"', '"Nov 1, 2025"', '"2025-11"', '"2025"', '"-2025-11-01"', '"now"', '"today"', '"epoch"',
	'"infinity"', '"2025-11-01 BC"', '20251101', '1762000000000', 'true', '["2025-11-01", "2025-11-02"]', '{"date": "2025-11-01"}');
SELECT extra -> 'sent' AS sent, pg_temp.cell('k_date', k_date::text, extra) AS date, pg_temp.cell('k_moment', k_moment::text, extra) AS moment
FROM canopy_summit.policy WHERE pull_id = 'days' ORDER BY ordinal;

-- Every column whose value stayed in extra is in the drift, once, and no other.
SELECT kind, string_agg(path, ' ' ORDER BY path) AS paths FROM canopy_summit.schema_drift WHERE kind <> 'missing' GROUP BY kind ORDER BY kind;

-- Columns as they are: personal ones, percents, metadata that is text or an object.
SELECT count(canopy_store_pull(pull)) FROM unnest(ARRAY[
	'{"pull_id": "m1", "meta_data": {"a": [1]}, "first_name": 5, "drivers": [{"driver_id": 4711, "age": "36"}, {"driver_id": "d", "age": "36 years"}]}',
	'{"pull_id": "m2", "meta_data": "{\"a\": [1]}", "first_name": "", "drivers": {"driver_id": "alone", "drivers_license": {"number": "D1"}}}',
	'{"pull_id": "m3", "meta_data": "plain", "first_name": ["Ann"], "drivers": "none"}',
	'{"pull_id": "m4", "meta_data": null, "first_name": ["Ann", "B."], "drivers": [null, 7, {"driver_id": "x"}, [{"driver_id": "y"}], {}]}']::jsonb[]) AS pull;
SELECT p.pull_id, p.meta_data, p.first_name, p.extra, d.ordinal, d.driver_id, d.age, d.extra
FROM canopy_summit.pull p LEFT JOIN canopy_summit.driver d USING (pull_id) WHERE p.pull_id LIKE 'm_' ORDER BY p.pull_id, d.ordinal;
SELECT pull_id FROM canopy_summit.pull WHERE meta_data @> '{"a": [1]}' ORDER BY pull_id;

-- Neither settings nor a search_path that hides everything change what a version is read as. A new session has
-- prepared nothing yet.
CREATE TABLE was AS SELECT to_jsonb(p) AS row FROM canopy_summit.policy p UNION ALL SELECT to_jsonb(p) FROM canopy_summit.pull p
	UNION ALL SELECT to_jsonb(d) FROM canopy_summit.driver d;
\c -
CREATE SCHEMA hiding;
CREATE TABLE hiding.shredded (server text, pull_id text);
CREATE TABLE hiding.policy (server text, pull_id text);
CREATE FUNCTION hiding.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR hiding.= (FUNCTION = hiding.never, LEFTARG = text, RIGHTARG = text);
CREATE DOMAIN hiding.text AS pg_catalog.int4;
SET search_path = hiding, public, pg_catalog;
SET datestyle = 'German, DMY';
SET timezone = 'America/New_York';
SET extra_float_digits = -15;
SET intervalstyle = 'sql_standard';
SET bytea_output = 'escape';
DO $$ -- PostgreSQL 19 has it on for ever
BEGIN
	SET standard_conforming_strings = off;
EXCEPTION WHEN feature_not_supported THEN
END
$$;
SELECT canopy_remap() > 0 AS started;
CALL canopy_summit.run_tasks();
SELECT (canopy_store_pull(pull_version.pull || '{"pull_id": "days2"}')).version FROM canopy_summit.pull_version WHERE pull_id OPERATOR(pg_catalog.=) 'days';
RESET standard_conforming_strings;
RESET bytea_output;
RESET intervalstyle;
RESET extra_float_digits;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
RESET search_path;
CREATE TABLE now AS SELECT to_jsonb(p) AS row FROM canopy_summit.policy p UNION ALL SELECT to_jsonb(p) FROM canopy_summit.pull p
	UNION ALL SELECT to_jsonb(d) FROM canopy_summit.driver d;
SELECT count(*), count(DISTINCT row) FROM was;
SELECT count(*) AS differing FROM (TABLE was EXCEPT TABLE now UNION ALL
	(SELECT row FROM now WHERE row ->> 'pull_id' <> 'days2' EXCEPT TABLE was)) AS d;
SELECT count(*) AS differing FROM (SELECT row - 'pull_id' FROM now WHERE row ->> 'pull_id' = 'days' AND row ? 'policy_id'
	EXCEPT SELECT row - 'pull_id' FROM now WHERE row ->> 'pull_id' = 'days2' AND row ? 'policy_id') AS d;
SELECT v.drift = w.drift AS same_drift FROM canopy_summit.pull_version v, canopy_summit.pull_version w WHERE v.pull_id = 'days' AND w.pull_id = 'days2';

SET client_min_messages = warning;
DROP SCHEMA hiding CASCADE;
DROP TABLE was, now;
DROP EXTENSION canopy_summit CASCADE;
