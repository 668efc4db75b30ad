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

CREATE FUNCTION canopy_summit.takes_files(operation text) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_takes_files'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.takes_files(text) IS 'whether an operation''s jobs may send files beside their body';

CREATE FUNCTION canopy_summit.job_files_size(job_id bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT coalesce(sum(f.size), 0)::bigint FROM canopy_summit.job_file f WHERE f.job_id = job_files_size.job_id);
COMMENT ON FUNCTION canopy_summit.job_files_size(bigint) IS 'bytes of the files that a job sends beside its body';

CREATE FUNCTION canopy_summit.job_file_forget() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM canopy_summit.job_file f WHERE f.job_id = OLD.job_id;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION canopy_summit.job_file_forget() IS 'trigger: deletes the files of a job that has ended, or has gone';
CREATE TRIGGER job_file_forget AFTER UPDATE OF state ON canopy_summit.job
	FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state AND NEW.state IN ('succeeded', 'failed', 'cancelled')
		AND canopy_summit.takes_files(NEW.operation))
	EXECUTE FUNCTION canopy_summit.job_file_forget();
CREATE TRIGGER job_file_forget_deleted AFTER DELETE ON canopy_summit.job
	FOR EACH ROW WHEN (OLD.state IN ('queued', 'running', 'in_doubt') AND canopy_summit.takes_files(OLD.operation))
	EXECUTE FUNCTION canopy_summit.job_file_forget();

CREATE FUNCTION @extschema@.canopy_enqueue(operation text, params jsonb DEFAULT '{}', body jsonb DEFAULT NULL,
	server name DEFAULT NULL, priority integer DEFAULT NULL, run_at timestamptz DEFAULT NULL,
	ordering_key text DEFAULT NULL, dedupe_key text DEFAULT NULL, confirm text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_canopy_enqueue'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION @extschema@.canopy_enqueue(text, jsonb, jsonb, name, integer, timestamptz, text, text, text) IS
	'has an operation of Canopy Connect sent after COMMIT; returns its job_id; the answer comes to canopy_summit.job_answer; a destructive one wants the id of what it destroys a second time, in confirm';

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

SELECT canopy_summit.define_view('canopy_summit.job_status', 'outbound requests and how far they are, without what they send', $view$
SELECT j.job_id, canopy_summit.server_name(j.server_oid, j.server, j.instance) AS server, j.operation,
	canopy_summit.owner_name(j.owner_oid, j.owner, j.instance) AS owner, j.state, j.priority, j.run_at, j.attempts, j.max_attempts,
	j.outcome, j.outcome_code, j.outcome_status, j.enqueued_at, j.first_sent_at, j.lease_until, j.finished_at, j.reconciles, j.follows,
	j.epoch, j.fence, j.instance
FROM canopy_summit.job j$view$, $notes$
job_id: key of the job
server: server it is sent to, by the name it has now
owner: role that enqueued it, by the name it has now
state: queued, running, succeeded, failed, in_doubt or cancelled
attempts: attempts that reached the server
outcome_status: HTTP status of the last attempt
enqueued_at: when it was enqueued
first_sent_at: when it was first sent
finished_at: when it succeeded, failed or was cancelled$notes$);

SELECT canopy_summit.define_view('canopy_summit.job_answer', obj_description('canopy_summit.job_response'::regclass, 'pg_class'), $view$
SELECT r.job_id, canopy_summit.server_name(j.server_oid, j.server, j.instance) AS server, j.operation,
	canopy_summit.stored_response(r.response) AS answer, r.received_at
FROM canopy_summit.job_response r LEFT JOIN canopy_summit.job j ON j.job_id = r.job_id$view$, $notes$
job_id: the job
server: server that answered, by the name it has now
answer: what it answered, out of its envelope, secret fields redacted
received_at: when it answered$notes$);

SELECT canopy_summit.allow('fetcher', 'function', 'canopy_enqueue canopy_enqueue_fetch summit_enqueue');
-- The input columns; RETURNING needs the key.
SELECT canopy_summit.allow('fetcher admin', 'table', 'canopy_summit.job',
	'INSERT (server, operation, params, body, priority, run_at, max_attempts, ordering_key, dedupe_key, idempotency_key), SELECT (job_id)');
SELECT canopy_summit.allow('pii_reader', 'table', 'canopy_summit.job_answer');
SELECT canopy_summit.allow('operator', 'table', 'canopy_summit.job_status canopy_summit.job_attempt');
-- All but what is sent, which may be personal.
SELECT canopy_summit.allow('operator', 'table', 'canopy_summit.job',
	'SELECT (job_id, server, operation, priority, run_at, max_attempts, owner, state, instance, fence, attempts, epoch, '
		'lease_until, first_sent_at, reconciles, follows, enqueued_at, finished_at, outcome, outcome_code, outcome_status, server_oid, owner_oid, task_id)');
