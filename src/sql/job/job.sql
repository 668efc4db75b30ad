-- job/job.sql: enqueueing jobs.
-- Replaceable.

CREATE FUNCTION canopy_summit.job_fill() RETURNS trigger
AS 'MODULE_PATHNAME', 'canopy_summit_job_fill'
LANGUAGE C;
COMMENT ON FUNCTION canopy_summit.job_fill() IS 'trigger: checks an enqueued job, fills the engine''s columns and wakes the worker at COMMIT';
CREATE TRIGGER job_fill BEFORE INSERT ON canopy_summit.job
	FOR EACH ROW EXECUTE FUNCTION canopy_summit.job_fill();

CREATE FUNCTION canopy_summit.job_keeps(state text, operation text, value jsonb) RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_job_keeps'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.job_keeps(text, text, jsonb) IS
	'params or body of a job as they are kept: once it has succeeded, failed or been cancelled, without what is secret';

CREATE FUNCTION canopy_summit.sends_secrets(operation text) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_sends_secrets'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.sends_secrets(text) IS 'whether params or body of an operation''s jobs hold secrets';

CREATE FUNCTION @extschema@.canopy_enqueue(operation text, params jsonb DEFAULT '{}', body jsonb DEFAULT NULL,
	server name DEFAULT NULL, priority integer DEFAULT NULL, run_at timestamptz DEFAULT NULL,
	ordering_key text DEFAULT NULL, dedupe_key text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_canopy_enqueue'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION @extschema@.canopy_enqueue(text, jsonb, jsonb, name, integer, timestamptz, text, text) IS
	'has an operation of Canopy Connect sent after COMMIT; returns its job_id; the answer comes to canopy_summit.job_response';

CREATE FUNCTION @extschema@.summit_enqueue(operation text, params jsonb DEFAULT '{}', body jsonb DEFAULT NULL,
	server name DEFAULT NULL, priority integer DEFAULT NULL, run_at timestamptz DEFAULT NULL,
	ordering_key text DEFAULT NULL, dedupe_key text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_summit_enqueue'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION @extschema@.summit_enqueue(text, jsonb, jsonb, name, integer, timestamptz, text, text) IS
	'has an operation of Summit sent after COMMIT; returns its job_id; summit_upload_policy() is the way to upload';

CREATE FUNCTION @extschema@.canopy_enqueue_fetch(VARIADIC pull_ids text[]) RETURNS SETOF bigint
AS 'MODULE_PATHNAME', 'canopy_summit_enqueue_fetch'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000 ROWS 10;
COMMENT ON FUNCTION @extschema@.canopy_enqueue_fetch(text[]) IS
	'has pulls fetched and stored in the background, each by a job of its own, from the server of setting canopy_summit.canopy_server; returns the job_ids; with an array: canopy_enqueue_fetch(VARIADIC array)';
