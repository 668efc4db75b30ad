-- operation: the catalogue has every operation of both APIs, with its class and flags.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;

SELECT provider, class, count(*), count(*) FILTER (WHERE billable) AS billable, count(*) FILTER (WHERE personal) AS personal,
	count(*) FILTER (WHERE secret_fields) AS secret, count(*) FILTER (WHERE destructive) AS destructive,
	count(*) FILTER (WHERE deprecated) AS deprecated, count(reconcile) AS reconcilable
FROM canopy_summit.operation GROUP BY provider, class ORDER BY provider, class;
SELECT provider, method, string_agg(DISTINCT class, ', ' ORDER BY class) AS classes, count(*)
FROM canopy_summit.operation GROUP BY provider, method ORDER BY provider, method;
SELECT provider, auth, envelope, count(*) FROM canopy_summit.operation GROUP BY provider, auth, envelope ORDER BY provider, auth, envelope;

-- Names are unique, and every parameter of a path is one of the operation's; teamId comes from the server.
SELECT count(*) - count(DISTINCT (provider, operation)) AS duplicates, count(*) FROM canopy_summit.operation;
SELECT operation, placeholder FROM canopy_summit.operation,
	LATERAL (SELECT m[1] FROM regexp_matches(path, '\{(\w+)\}', 'g') AS m) AS p(placeholder)
WHERE placeholder <> 'teamId'
	AND NOT parameters @> jsonb_build_array(jsonb_build_object('name', placeholder, 'in', 'path', 'required', true));
SELECT operation, parameter ->> 'name' AS name FROM canopy_summit.operation, LATERAL jsonb_array_elements(parameters) AS parameter
WHERE parameter ->> 'in' = 'path' AND path NOT LIKE '%{' || (parameter ->> 'name') || '}%';
SELECT DISTINCT parameter ->> 'in' AS "in", parameter ->> 'type' AS type
FROM canopy_summit.operation, LATERAL jsonb_array_elements(parameters) AS parameter ORDER BY 1, 2;

-- What reads is safe and nothing else is; what a lost answer leaves open can be looked up by an operation that reads.
SELECT operation, method, class FROM canopy_summit.operation WHERE (method = 'GET') <> (class = 'safe') ORDER BY 1;
SELECT o.operation, o.reconcile FROM canopy_summit.operation o LEFT JOIN canopy_summit.operation r
	ON r.operation = o.reconcile AND r.provider = o.provider
WHERE o.reconcile IS NOT NULL AND r.class IS DISTINCT FROM 'safe';
SELECT operation FROM canopy_summit.operation WHERE class IN ('safe', 'idempotent') AND reconcile IS NOT NULL;

-- Every operation that a COMMENT names is one.
SELECT pg_describe_object(d.classoid, d.objoid, d.objsubid) AS object, m[1] AS operation
FROM pg_description d,
	LATERAL regexp_matches(d.description, '\m((?:get|post|put|patch|delete|create|download|upload)(?:-[a-z]+)+|(?<=operation )[a-z]+(?:-[a-z]+)+)', 'g') AS m
WHERE (d.classoid, d.objoid) IN (SELECT e.classid, e.objid FROM pg_depend e WHERE e.deptype = 'e'
		AND e.refclassid = 'pg_extension'::regclass AND e.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'canopy_summit'))
	AND m[1] NOT IN (SELECT operation FROM canopy_summit.operation);
SELECT count(*) > 0 AS some_are_named FROM pg_description d
WHERE d.description ~ '\mget-monitoring-events\M' AND d.objoid = 'canopy.monitoring_event'::regclass;

-- The operations that want care, one by one.
SELECT operation, method, class, concat_ws(' ', CASE WHEN billable THEN 'billable' END, CASE WHEN secret_fields THEN 'secret' END,
	CASE WHEN destructive THEN 'destructive' END, CASE WHEN deprecated THEN 'deprecated' END) AS flags
FROM canopy_summit.operation WHERE billable OR secret_fields OR destructive OR deprecated ORDER BY operation;
SELECT operation FROM canopy_summit.operation
WHERE destructive AND NOT parameters @> '[{"in": "confirmation", "name": "confirm", "required": true}]';

-- The operations of Summit, which go by job.
SELECT operation, method, path, auth, class FROM canopy_summit.operation WHERE provider = 'summit' ORDER BY operation;

-- Only what can be repeated is called synchronously, and only by name. Nothing is sent: there is no server.
\pset format unaligned
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, '  detail: ' || nullif(detail, ''), '  hint: ' || nullif(hint, ''));
END
$$;
SELECT pg_temp.outcome(format('SELECT canopy_call(%L)', operation))
FROM unnest(ARRAY[NULL, '', 'no-such', 'GET-HEALTH', 'get-health']) AS operation;
SELECT class, billable, count(*), min(regexp_replace(pg_temp.outcome(format('SELECT canopy_call(%L)', operation)), '"[^"]*"', '"…"', 'g')) AS outcome,
	count(DISTINCT regexp_replace(pg_temp.outcome(format('SELECT canopy_call(%L)', operation)), '"[^"]*"', '"…"', 'g')) AS outcomes
FROM canopy_summit.operation WHERE provider = 'canopy' GROUP BY class, billable ORDER BY class, billable;
SELECT pg_temp.outcome(format('SELECT canopy_call(%L)', operation)) FROM canopy_summit.operation WHERE provider = 'summit' ORDER BY operation LIMIT 1;

-- Parameters are checked before anything is sent: missing, unknown, of another type, of another value.
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (team_id 't', base_url 'https://127.0.0.1:1');
CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (client_id 'i', client_secret 's');
SELECT pg_temp.outcome(statement) FROM unnest(ARRAY[
	$$SELECT canopy_call('get-pull-by-id')$$,
	$$SELECT canopy_call('get-pull-by-id', '{"pullId": null}')$$,
	$$SELECT canopy_call('get-pull-by-id', '{"pullId": ""}')$$,
	$$SELECT canopy_call('get-pull-by-id', '{"pullId": "p", "pull_id": "p"}')$$,
	$$SELECT canopy_call('get-pull-by-id', '{"pullId": "p", "teamId": "other"}')$$,
	$$SELECT canopy_call('get-pull-by-id', '{"pullId": {"a": 1}}')$$,
	$$SELECT canopy_call('get-pull-by-id', '[]')$$,
	$$SELECT canopy_call('get-pull-by-id', '{"pullId": "p"}', '{"is_archived": true}')$$,
	$$SELECT canopy_call('get-pulls', '{"limit": "many"}')$$,
	$$SELECT canopy_call('get-pulls', '{"since": "yesterday"}')$$,
	$$SELECT canopy_call('get-pulls', '{"limit": 1, "page": 2}')$$,
	$$SELECT canopy_call('patch-pull-by-id', '{"pullId": "p"}', '{"is_archived": "perhaps"}')$$,
	$$SELECT canopy_call('patch-pull-by-id', '{"pullId": "p"}', '[true]')$$]) AS statement;

DROP EXTENSION canopy_summit CASCADE;
