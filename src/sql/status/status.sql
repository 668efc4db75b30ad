-- status/status.sql: watching workers, servers and jobs.
-- Replaceable.

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

SELECT canopy_summit.allow('operator', 'function', 'workers receivers server_counters server_queue');
SELECT canopy_summit.allow('operator', 'table', 'canopy_summit.job_stats canopy_summit.worker_status canopy_summit.receiver_status canopy_summit.server_health');
