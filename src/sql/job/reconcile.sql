-- job/reconcile.sql: how the effect of an operation in doubt is looked up.
-- Replaceable.
--
-- The catalogue names the operation that reads; what to ask and what to look
-- for in its answer stands here. What was asked for is found if exactly one
-- thing fits that no other job has made, or may have made; anything else leaves
-- the job in doubt. A thing that was made outside the job table, and fits in
-- every field that a listing shows, cannot be told from the job's own.

CREATE FUNCTION canopy_summit.reconcile_params(job canopy_summit.job) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN (job).operation = 'post-monitoring' THEN
			jsonb_build_object('pull_id', (job).body -> 'pull_id', 'status', 'ACTIVE')
		WHEN (job).operation = 'post-servicings' THEN jsonb_build_object('limit', 100)
		ELSE jsonb_build_object('since', to_char((job).first_sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'limit', 100)
		END;
END;
COMMENT ON FUNCTION canopy_summit.reconcile_params(canopy_summit.job) IS 'parameters of the operation that shows whether a job in doubt took effect';

-- Canopy shows the metadata of a pull as text.
CREATE FUNCTION canopy_summit.reconcile_fits(job canopy_summit.job, thing jsonb) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN (job).operation = 'post-monitoring' THEN thing ->> 'interval' = (job).body ->> 'interval'
		WHEN (job).operation = 'post-servicings' THEN
			jsonb_array_length((job).body -> 'servicing_actions') = 1 AND thing @> ((job).body -> 'servicing_actions' -> 0)
		WHEN thing ->> 'public_alias' IS DISTINCT FROM (job).body ->> 'public_alias' THEN false
		WHEN (job).body -> 'meta_data' <> '{}' THEN
			canopy_summit.nested_json(thing ->> 'meta_data') @> ((job).body -> 'meta_data')
		ELSE thing ->> 'insurance_provider_name' = (job).body ->> 'insurerName'
		END;
END;
COMMENT ON FUNCTION canopy_summit.reconcile_fits(canopy_summit.job, jsonb) IS 'whether a thing in an answer is what a job asks for';

CREATE FUNCTION canopy_summit.reconcile_is_taken(job canopy_summit.job, thing jsonb) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT EXISTS (
			SELECT FROM canopy_summit.job o
			WHERE o.state IN ('running', 'in_doubt')
				AND canopy_summit.server_of(o.server_oid, o.server, o.instance) = (job).server_oid AND o.job_id <> (job).job_id
				AND canopy_summit.reconcile_params(o) - 'since' = canopy_summit.reconcile_params(job) - 'since'
				AND canopy_summit.reconcile_fits(o, thing))
		OR EXISTS (
			SELECT FROM canopy_summit.job o
				JOIN canopy_summit.operation p ON p.operation = o.operation AND p.class = 'unsafe'
				JOIN canopy_summit.job_response r ON r.job_id = o.job_id
				CROSS JOIN LATERAL canopy_summit.stored_response(r.response) AS answer
			WHERE canopy_summit.server_of(o.server_oid, o.server, o.instance) = (job).server_oid AND o.job_id <> (job).job_id
				AND (answer ->> 'pull_id' = thing ->> 'pull_id'
					OR answer ->> 'monitoring_id' = thing ->> 'monitoring_id'
					OR answer ->> 'servicing_action_id' = thing ->> 'servicing_action_id'
					OR answer -> 'servicing_action_ids' ? (thing ->> 'servicing_action_id')));
END;
COMMENT ON FUNCTION canopy_summit.reconcile_is_taken(canopy_summit.job, jsonb) IS
	'whether another job has made a thing, or is in doubt or on its way and may have';

CREATE FUNCTION canopy_summit.reconcile_found(job canopy_summit.job, answer jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH fitting AS MATERIALIZED (
		SELECT e.thing
		FROM jsonb_array_elements(CASE jsonb_typeof(answer) WHEN 'array' THEN answer ELSE '[]' END) AS e(thing)
		WHERE canopy_summit.reconcile_fits(job, e.thing)),
	candidate AS (
		SELECT f.thing FROM fitting f WHERE NOT canopy_summit.reconcile_is_taken(job, f.thing))
	SELECT CASE WHEN count(*) = 1 THEN (array_agg(c.thing))[1] END FROM candidate c;
END;
COMMENT ON FUNCTION canopy_summit.reconcile_found(canopy_summit.job, jsonb) IS
	'the one thing in an answer that a job in doubt must have made; NULL if there is none, or more than one';
