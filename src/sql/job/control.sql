-- job/control.sql: steering jobs.
-- Replaceable.

-- For as long as JOB_KEY_LIFE in job/job.h.
CREATE FUNCTION canopy_summit.key_is_old(job canopy_summit.job) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce((job).first_sent_at < now() - interval '23:50' AND canopy_summit.has_key((job).operation), false);
COMMENT ON FUNCTION canopy_summit.key_is_old(canopy_summit.job) IS 'whether the server may not know a job''s Idempotency-Key any more';

CREATE FUNCTION canopy_summit.cancel_job(job_id bigint) RETURNS boolean
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT canopy_summit.wake();
	WITH cancelled AS (
		UPDATE canopy_summit.job j
		SET state = 'cancelled', finished_at = now(), outcome = 'cancelled by ' || session_user, outcome_code = 'cancelled',
			params = canopy_summit.job_keeps('cancelled', j.operation, j.params),
			body = canopy_summit.job_keeps('cancelled', j.operation, j.body)
		WHERE j.job_id = cancel_job.job_id AND (j.state = 'queued' OR j.state = 'in_doubt' AND canopy_summit.key_is_old(j))
		RETURNING 1)
	SELECT count(*) > 0 FROM cancelled;
END;
COMMENT ON FUNCTION canopy_summit.cancel_job(bigint) IS
	'cancels a job that is still queued, or one in doubt whose Idempotency-Key is older than a day, which cannot be retried; false if it is neither';

CREATE FUNCTION canopy_summit.retry_job(job_id bigint, confirm boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job canopy_summit.job;
BEGIN
	-- One that is on its way is not locked: it could not be settled.
	SELECT * INTO job FROM canopy_summit.job j WHERE j.job_id = retry_job.job_id AND j.state IN ('failed', 'in_doubt') FOR UPDATE;
	IF job.job_id IS NULL THEN
		SELECT * INTO job FROM canopy_summit.job j WHERE j.job_id = retry_job.job_id;
	END IF;
	IF job.job_id IS NULL THEN
		RAISE EXCEPTION 'job % does not exist', retry_job.job_id USING ERRCODE = 'no_data_found';
	END IF;
	IF job.state NOT IN ('failed', 'in_doubt') THEN
		RETURN false;
	END IF;
	IF job.state = 'failed' AND job.outcome_code = 'quarantined' AND NOT canopy_summit.may_repeat(job.operation) AND NOT confirm THEN
		RAISE EXCEPTION 'job % was answered: it has taken effect', retry_job.job_id
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = format('Look at its answer first. To have it sent once more, SELECT canopy_summit.retry_job(%s, confirm => true);',
					retry_job.job_id);
	END IF;
	IF job.state = 'in_doubt' AND NOT confirm THEN
		RAISE EXCEPTION 'job % is in doubt: it may have taken effect', retry_job.job_id
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = format('Look at the server; if it did not, SELECT canopy_summit.retry_job(%s, confirm => true);', retry_job.job_id);
	END IF;
	IF job.state = 'failed' AND canopy_summit.sends_secrets(job.operation) THEN
		RAISE EXCEPTION 'job % cannot be retried: what it sent was secret, and was not kept', retry_job.job_id
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'Enqueue the operation anew.';
	END IF;
	IF canopy_summit.key_is_old(job) THEN
		RAISE EXCEPTION 'job % cannot be retried: its Idempotency-Key is older than a day', retry_job.job_id
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'The server does not know the key any more: look there whether it took effect, and if not, upload anew.';
	END IF;
	UPDATE canopy_summit.job j
	SET state = 'queued', attempts = 0, run_at = now(), finished_at = NULL,
		first_sent_at = CASE WHEN canopy_summit.has_key(j.operation) THEN j.first_sent_at END
	WHERE j.job_id = retry_job.job_id;
	PERFORM canopy_summit.wake();
	RETURN true;
END
$$;
COMMENT ON FUNCTION canopy_summit.retry_job(bigint, boolean) IS
	'queues a failed job again, unless what it sent was secret, or its Idempotency-Key is older than a day; only with confirm a job in doubt, which may have taken effect, and one whose answer could not be stored, if it changes something or costs money; false if it is none of these';

CREATE FUNCTION canopy_summit.retry_failed(server name DEFAULT NULL, operation text DEFAULT NULL,
	since timestamptz DEFAULT '-infinity')
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT canopy_summit.wake();
	WITH retried AS (
		UPDATE canopy_summit.job j
		SET state = 'queued', attempts = 0, run_at = now(), finished_at = NULL,
			first_sent_at = CASE WHEN canopy_summit.has_key(j.operation) THEN j.first_sent_at END
		WHERE j.state = 'failed' AND j.finished_at >= retry_failed.since AND NOT canopy_summit.sends_secrets(j.operation)
			AND NOT canopy_summit.key_is_old(j)
			AND (j.outcome_code IS DISTINCT FROM 'quarantined' OR canopy_summit.may_repeat(j.operation))
			AND (retry_failed.server IS NULL
				OR canopy_summit.server_of(j.server_oid, j.server, j.instance) = nullif(canopy_summit.server_of(NULL, retry_failed.server::text, NULL), 0))
			AND (retry_failed.operation IS NULL OR j.operation = retry_failed.operation)
		RETURNING 1)
	SELECT count(*) FROM retried;
END;
COMMENT ON FUNCTION canopy_summit.retry_failed(name, text, timestamptz) IS
	'queues failed jobs again, of one server or operation if given, but none that sent secrets, none with an Idempotency-Key that is older than a day, and none whose answer could not be stored if it changes something or costs money; returns how many';

CREATE FUNCTION canopy_summit.pause_server(server name, reason text DEFAULT 'paused') RETURNS void
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	INSERT INTO canopy_summit.server_hold (server, owner, reason, held_at, held_by, server_oid, owner_oid, instance)
	VALUES (pause_server.server, '', pause_server.reason, now(), session_user, canopy_summit.server_oid(pause_server.server), 0,
		canopy_summit.instance())
	ON CONFLICT (instance, server_oid, owner_oid) DO UPDATE SET reason = EXCLUDED.reason;
	SELECT canopy_summit.wake();
END;
COMMENT ON FUNCTION canopy_summit.pause_server(name, text) IS 'sends nothing more to a server until resume_server(); what is on its way is finished';

CREATE FUNCTION canopy_summit.resume_server(server name) RETURNS boolean
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT canopy_summit.wake();
	WITH ended AS (
		DELETE FROM canopy_summit.server_hold h
		WHERE canopy_summit.server_name(h.server_oid, h.server, h.instance) = resume_server.server::text RETURNING 1)
	SELECT count(*) > 0 FROM ended;
END;
COMMENT ON FUNCTION canopy_summit.resume_server(name) IS 'ends every hold of a server, also those of refused credentials; false if there was none';

CREATE FUNCTION canopy_summit.wait_for_job(job_id bigint, timeout interval DEFAULT '1 minute') RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_wait_for_job'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION canopy_summit.wait_for_job(bigint, interval) IS
	'waits until a job is neither queued nor running, at most so long, and returns its state then';

CREATE FUNCTION canopy_summit.take_secret(job_id bigint) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_take_secret'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION canopy_summit.take_secret(bigint) IS
	'the secret that the answer to a job has brought, such as the signing secret of a new webhook: once, to the role that enqueued it, within an hour';

CREATE FUNCTION canopy_summit.explain_job(job_id bigint) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT 'job ' || j.job_id || ' (' || j.operation || ' to ' || j.server || ', of ' || j.owner || ') is ' || j.state
		|| CASE
			WHEN j.state = 'queued' AND (canopy_summit.server_of(j.server_oid, j.server, j.instance) = 0
					OR canopy_summit.owner_of(j.owner_oid, j.owner, j.instance) = 0) THEN
				': it was enqueued by another instance, and its server or role is not here; make it, then canopy_summit.arm() adopts the job'
			WHEN j.state = 'queued' AND j.instance <> canopy_summit.instance() THEN
				': it was enqueued by another instance, or before a promotion; canopy_summit.arm() adopts it'
			WHEN j.state = 'queued' AND h.owner = '' THEN
				': the server is paused (' || h.reason || '); canopy_summit.resume_server(' || quote_literal(j.server) || ') goes on'
			WHEN j.state = 'queued' AND h.owner IS NOT NULL THEN
				': the credential of ' || h.owner || ' was refused (' || h.reason || '); correct the user mapping or its file'
			WHEN j.state = 'queued' AND j.run_at > now() THEN ': it is due at ' || j.run_at
			WHEN j.state = 'queued' AND e.job_id IS NOT NULL THEN ': job ' || e.job_id || ' of its ordering_key comes first'
			WHEN j.state = 'queued' THEN ': it is due'
			WHEN j.state = 'running' AND j.lease_until < now() THEN
				': its answer waits, as somebody has locked what it changes (pg_locks), or its worker is stuck'
			WHEN j.state = 'in_doubt' THEN ': the response was lost and it may have taken effect'
			ELSE '' END
		|| CASE WHEN j.outcome IS NOT NULL THEN '; last outcome: ' || j.outcome ELSE '' END
		|| CASE WHEN j.attempts > 0 THEN '; ' || j.attempts || ' of ' || j.max_attempts || ' attempts used' ELSE '' END
	-- By the names that server and role have now.
	FROM (SELECT i.job_id, i.operation, i.state, i.instance, i.run_at, i.outcome, i.attempts, i.max_attempts, i.ordering_key, i.lease_until, i.server_oid, i.owner_oid,
			canopy_summit.server_name(i.server_oid, i.server, i.instance) AS server,
			canopy_summit.owner_name(i.owner_oid, i.owner, i.instance) AS owner
			FROM canopy_summit.job i) AS j
		LEFT JOIN LATERAL (
			SELECT h.owner, h.reason FROM canopy_summit.server_hold h
			WHERE h.instance = j.instance AND h.server_oid = j.server_oid AND h.owner_oid IN (0, j.owner_oid) ORDER BY h.owner LIMIT 1) AS h ON true
		LEFT JOIN LATERAL (
			SELECT e.job_id FROM canopy_summit.job e
			WHERE e.ordering_key = j.ordering_key AND e.server_oid = j.server_oid AND e.owner_oid = j.owner_oid AND e.job_id < j.job_id
				AND e.instance IN (canopy_summit.instance(), ~canopy_summit.instance())
				AND e.state IN ('queued', 'running', 'in_doubt')
			ORDER BY e.job_id LIMIT 1) AS e ON true
	WHERE j.job_id = explain_job.job_id;
END;
COMMENT ON FUNCTION canopy_summit.explain_job(bigint) IS 'why a job is in its state, and what to do about it; NULL if there is no such job';

CREATE FUNCTION canopy_summit.arm() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT canopy_summit.wake();
	-- What has no server or role of its name here stays what it is, until there is one.
	UPDATE summit.upload u SET instance = canopy_summit.instance(),
		server_oid = canopy_summit.server_of(u.server_oid, u.server, u.instance),
		owner_oid = canopy_summit.owner_of(u.owner_oid, u.owner, u.instance)
	WHERE u.instance IS DISTINCT FROM canopy_summit.instance()
		AND canopy_summit.server_of(u.server_oid, u.server, u.instance) <> 0
		AND canopy_summit.owner_of(u.owner_oid, u.owner, u.instance) <> 0;
	-- One that has not begun may have a twin that waits here: it does not wait any more.
	UPDATE canopy_summit.task t SET instance = canopy_summit.instance(), state = 'running',
		server_oid = canopy_summit.server_of(t.server_oid, t.server, t.instance),
		started_by_oid = canopy_summit.owner_of(t.started_by_oid, t.started_by, t.instance)
	WHERE t.instance <> canopy_summit.instance() AND t.state IN ('waiting', 'running')
		AND (t.server IS NULL OR canopy_summit.server_of(t.server_oid, t.server, t.instance) <> 0);
	WITH adopted AS (
		UPDATE canopy_summit.job j SET instance = canopy_summit.instance(),
			server_oid = canopy_summit.server_of(j.server_oid, j.server, j.instance),
			owner_oid = canopy_summit.owner_of(j.owner_oid, j.owner, j.instance)
		WHERE (j.instance <> canopy_summit.instance() OR j.server_oid IS NULL OR j.owner_oid IS NULL) AND j.state IN ('queued', 'running', 'in_doubt')
			AND canopy_summit.server_of(j.server_oid, j.server, j.instance) <> 0
			AND canopy_summit.owner_of(j.owner_oid, j.owner, j.instance) <> 0
		RETURNING 1)
	SELECT count(*) FROM adopted;
END;
COMMENT ON FUNCTION canopy_summit.arm() IS
	'adopts the unfinished jobs that another instance enqueued, by the names of their servers and roles, or that a promotion left waiting: this database sends them from now on; those whose server or role is not here wait; returns how many; and unfinished tasks';

CREATE FUNCTION canopy_summit.apply_retention() RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_apply_retention'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION canopy_summit.apply_retention() IS
	'has deleted what the rules of canopy_summit.retention_rule let go; returns a task_id, NULL if there is nothing to do or it is being done; workers do this by themselves';

SELECT canopy_summit.allow('fetcher', 'function', 'wait_for_job');
SELECT canopy_summit.allow('nobody', 'table', 'canopy_summit.job_secret canopy_summit.job_file');
SELECT canopy_summit.allow('operator', 'function', 'cancel_job retry_job retry_failed pause_server resume_server arm apply_retention wait_for_job explain_job');
SELECT canopy_summit.allow('operator', 'table', 'canopy_summit.server_hold canopy_summit.billable_day canopy_summit.retention_rule');
SELECT canopy_summit.allow('operator admin', 'table', 'canopy_summit.retention_rule', 'INSERT, UPDATE, DELETE');
