-- 67_reconcile.sql: how the effect of an operation in doubt is looked up.
-- Replaceable.
--
-- The catalogue names the operation that reads; what to ask and what to look
-- for in its answer stands here. What was asked for is found if exactly one
-- thing fits; two that fit leave the job in doubt.

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

CREATE FUNCTION canopy_summit.reconcile_found(job canopy_summit.job, answer jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH candidate AS (
		SELECT e.thing
		FROM jsonb_array_elements(CASE jsonb_typeof(coalesce(answer -> 'servicings', answer)) WHEN 'array' THEN
			coalesce(answer -> 'servicings', answer) ELSE '[]' END) AS e(thing)
		WHERE CASE
			WHEN (job).operation = 'post-monitoring' THEN e.thing ->> 'interval' = (job).body ->> 'interval'
			WHEN (job).operation = 'post-servicings' THEN
				jsonb_array_length((job).body -> 'servicing_actions') = 1 AND e.thing @> ((job).body -> 'servicing_actions' -> 0)
			WHEN (job).body -> 'meta_data' <> '{}' THEN e.thing -> 'meta_data' @> ((job).body -> 'meta_data')
			ELSE e.thing ->> 'insurance_provider_name' = (job).body ->> 'insurerName'
			END)
	SELECT CASE WHEN count(*) = 1 THEN (array_agg(c.thing))[1] END FROM candidate c;
END;
COMMENT ON FUNCTION canopy_summit.reconcile_found(canopy_summit.job, jsonb) IS
	'the one thing in an answer that a job in doubt must have made; NULL if there is none, or more than one';
