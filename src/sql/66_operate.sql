-- 66_operate.sql: steering and watching jobs.
-- Replaceable.

CREATE FUNCTION canopy_summit.wake() RETURNS void
AS 'MODULE_PATHNAME', 'canopy_summit_wake'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION canopy_summit.wake() IS 'has the workers of this database look at everything when the transaction commits';

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
		WHERE j.job_id = cancel_job.job_id AND j.state = 'queued'
		RETURNING 1)
	SELECT count(*) > 0 FROM cancelled;
END;
COMMENT ON FUNCTION canopy_summit.cancel_job(bigint) IS 'cancels a job that is still queued; false if it is not';

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
	UPDATE canopy_summit.job j
	SET state = 'queued', attempts = 0, run_at = now(), finished_at = NULL, first_sent_at = NULL
	WHERE j.job_id = retry_job.job_id;
	PERFORM canopy_summit.wake();
	RETURN true;
END
$$;
COMMENT ON FUNCTION canopy_summit.retry_job(bigint, boolean) IS
	'queues a failed job again, unless what it sent was secret; a job in doubt only with confirm, because it may have taken effect; false if it is neither';

CREATE FUNCTION canopy_summit.retry_failed(server name DEFAULT NULL, operation text DEFAULT NULL,
	since timestamptz DEFAULT '-infinity')
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT canopy_summit.wake();
	WITH retried AS (
		UPDATE canopy_summit.job j
		SET state = 'queued', attempts = 0, run_at = now(), finished_at = NULL, first_sent_at = NULL
		WHERE j.state = 'failed' AND j.finished_at >= retry_failed.since AND NOT canopy_summit.sends_secrets(j.operation)
			AND (retry_failed.server IS NULL
				OR canopy_summit.server_of(j.server_oid, j.server, j.instance) = nullif(canopy_summit.server_of(NULL, retry_failed.server::text, NULL), 0))
			AND (retry_failed.operation IS NULL OR j.operation = retry_failed.operation)
		RETURNING 1)
	SELECT count(*) FROM retried;
END;
COMMENT ON FUNCTION canopy_summit.retry_failed(name, text, timestamptz) IS
	'queues failed jobs again, of one server or operation if given, but none that sent secrets; returns how many';

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

CREATE FUNCTION canopy_summit.workers(OUT pid integer, OUT epoch bigint, OUT started_at timestamptz, OUT in_flight integer,
	OUT sent bigint, OUT settled bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_workers'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION canopy_summit.workers() IS 'the rows of view canopy_summit.worker_status';

CREATE VIEW canopy_summit.worker_status AS SELECT * FROM canopy_summit.workers();
COMMENT ON VIEW canopy_summit.worker_status IS 'workers connected to this database now; none does not mean that none will come';

CREATE FUNCTION canopy_summit.receivers(OUT pid integer, OUT started_at timestamptz, OUT stored bigint, OUT problem text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_receivers'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION canopy_summit.receivers() IS 'the row of view canopy_summit.receiver_status';

CREATE VIEW canopy_summit.receiver_status AS SELECT * FROM canopy_summit.receivers();
COMMENT ON VIEW canopy_summit.receiver_status IS 'the receiver of webhooks, if it runs in this database now; up to a second old';
COMMENT ON COLUMN canopy_summit.receiver_status.stored IS 'webhooks that it has stored since it started';
COMMENT ON COLUMN canopy_summit.receiver_status.problem IS 'why it answers 503 to all, as GET /healthz does, or nothing at all: what came of the last attempt to store, which it repeats by itself';

CREATE FUNCTION canopy_summit.server_counters(OUT server text, OUT stats_since timestamptz, OUT sent bigint, OUT succeeded bigint,
	OUT retried bigint, OUT failed bigint, OUT in_doubt bigint, OUT breaker_until timestamptz, OUT latency_ms bigint[],
	OUT refused_webhooks bigint, OUT webhook_problem text, OUT encoded_webhooks bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_server_counters'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION canopy_summit.server_counters() IS
	'what came of requests since the counters began; latency_ms[n] counts answers within 2^(n-1) ms, the last one all that took longer';

CREATE FUNCTION canopy_summit.server_queue(server text, own boolean, OUT depth bigint, OUT oldest_due timestamptz)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	-- Ranges of the index that claims read; the OIDs of others mean nothing here.
	SELECT count(*), min(q.run_at)
	FROM (SELECT j.run_at FROM canopy_summit.job j
		  WHERE server_queue.own AND j.state = 'queued' AND j.instance = canopy_summit.instance()
			  AND j.server_oid = canopy_summit.server_of(NULL, server_queue.server, NULL)
		  UNION ALL
		  SELECT j.run_at FROM canopy_summit.job j
		  WHERE NOT server_queue.own AND j.state = 'queued' AND j.instance < canopy_summit.instance()
			  AND canopy_summit.server_name(j.server_oid, j.server, j.instance) = server_queue.server
		  UNION ALL
		  SELECT j.run_at FROM canopy_summit.job j
		  WHERE NOT server_queue.own AND j.state = 'queued' AND j.instance > canopy_summit.instance()
			  AND canopy_summit.server_name(j.server_oid, j.server, j.instance) = server_queue.server
		  LIMIT 10000) AS q;
END;
COMMENT ON FUNCTION canopy_summit.server_queue(text, boolean) IS 'queued jobs of a server, of this instance or of others, counted up to 10000';

CREATE VIEW canopy_summit.server_health AS
SELECT s.srvname::text AS server, q.depth, q.oldest_due, o.depth AS unarmed,
	CASE WHEN o.depth > 0 THEN 'enqueued by another instance or before a promotion: canopy_summit.arm() adopts them' END AS unarmed_reason,
	h.held, c.breaker_until, c.stats_since, c.sent, c.succeeded, c.retried, c.failed, c.in_doubt, c.latency_ms,
	c.refused_webhooks, c.encoded_webhooks, CASE WHEN r.pid IS NOT NULL THEN coalesce(c.webhook_problem, r.problem) END AS webhook_problem
FROM pg_catalog.pg_foreign_server s
	JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname IN ('canopy_api', 'summit_api')
	CROSS JOIN LATERAL canopy_summit.server_queue(s.srvname::text, true) AS q
	CROSS JOIN LATERAL canopy_summit.server_queue(s.srvname::text, false) AS o
	LEFT JOIN canopy_summit.server_counters() AS c ON c.server = s.srvname::text
	LEFT JOIN canopy_summit.receivers() AS r ON true
	LEFT JOIN LATERAL (
		SELECT pg_catalog.string_agg(CASE h.owner WHEN '' THEN h.reason ELSE h.owner || ': ' || h.reason END, '; ' ORDER BY h.owner) AS held
		FROM canopy_summit.server_hold h
		WHERE canopy_summit.server_of(h.server_oid, h.server, h.instance) = s.oid) AS h ON true;
COMMENT ON VIEW canopy_summit.server_health IS 'each server: its queue (counted up to 10000), holds, circuit breaker, and counters since stats_since';
COMMENT ON COLUMN canopy_summit.server_health.unarmed IS 'queued jobs that this instance does not send until canopy_summit.arm()';
COMMENT ON COLUMN canopy_summit.server_health.held IS 'why jobs wait: paused, or credentials that were refused';
COMMENT ON COLUMN canopy_summit.server_health.refused_webhooks IS 'deliveries that were not stored: forged, too large, or nothing to verify them with';
COMMENT ON COLUMN canopy_summit.server_health.encoded_webhooks IS 'deliveries that were not stored because their Content-Encoding is not identity: a proxy compresses them, and no signature fits';
COMMENT ON COLUMN canopy_summit.server_health.webhook_problem IS 'why the receiver answers 503 to deliveries of this server, or to all';
COMMENT ON COLUMN canopy_summit.server_health.breaker_until IS 'the server is out; it is tried again then';

CREATE VIEW canopy_summit.job_stats AS
SELECT canopy_summit.server_name(j.server_oid, j.server, j.instance) AS server, j.operation, j.state, pg_catalog.count(*) AS jobs,
	pg_catalog.min(j.enqueued_at) AS oldest_enqueued_at, pg_catalog.max(j.finished_at) AS newest_finished_at
FROM canopy_summit.job j
GROUP BY 1, j.operation, j.state;
COMMENT ON VIEW canopy_summit.job_stats IS 'jobs by server, operation and state, of those that retention has left; reads the whole table';
