-- status/stats.sql: watching workers, servers and jobs.
-- Replaceable.

CREATE FUNCTION canopy_summit.workers(OUT pid integer, OUT epoch bigint, OUT started_at timestamptz, OUT in_flight integer,
	OUT sent bigint, OUT settled bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_workers'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION canopy_summit.workers() IS 'the rows of view canopy_summit.worker_status';

SELECT canopy_summit.define_view('canopy_summit.worker_status', 'workers connected to this database now; none does not mean that none will come', $view$
SELECT * FROM canopy_summit.workers()$view$, $notes$
pid: process
epoch: life of the worker, which its claims name
started_at: when it started
in_flight: requests on the wire
sent: requests that it has sent since
settled: jobs that it has settled since$notes$);

CREATE FUNCTION canopy_summit.receivers(OUT pid integer, OUT started_at timestamptz, OUT stored bigint, OUT problem text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_receivers'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1;
COMMENT ON FUNCTION canopy_summit.receivers() IS 'the row of view canopy_summit.receiver_status';

SELECT canopy_summit.define_view('canopy_summit.receiver_status', 'the receiver of webhooks, if it runs in this database now; up to a second old', $view$
SELECT * FROM canopy_summit.receivers()$view$, $notes$
pid: process
started_at: when it started
stored: webhooks that it has stored since
problem: why it answers 503 to all, as GET /healthz does, or nothing at all: what came of the last attempt to store, which it repeats by itself$notes$);

CREATE FUNCTION canopy_summit.scan_problem() RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_scan_problem'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION canopy_summit.scan_problem() IS 'why documents cannot be scanned for viruses: the scanner does not listen, or gave no verdict when it was last asked; NULL if they can, or none is set';

CREATE FUNCTION canopy_summit.server_counters(OUT server text, OUT stats_since timestamptz, OUT sent bigint, OUT succeeded bigint,
	OUT retried bigint, OUT failed bigint, OUT in_doubt bigint, OUT breaker_until timestamptz, OUT latency_ms bigint[],
	OUT refused_webhooks bigint, OUT webhook_problem text, OUT encoded_webhooks bigint,
	OUT deprecated_at timestamptz, OUT sunset_at timestamptz, OUT deprecated_operation text)
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

SELECT canopy_summit.define_view('canopy_summit.server_health', 'each server: its queue (counted up to 10000), holds, circuit breaker, and counters since stats_since', $view$
SELECT s.srvname::text AS server, q.depth, q.oldest_due, o.depth AS unarmed,
	CASE WHEN o.depth > 0 THEN 'enqueued by another instance or before a promotion: canopy_summit.arm() adopts them' END AS unarmed_reason,
	h.held, c.breaker_until, c.stats_since, c.sent, c.succeeded, c.retried, c.failed, c.in_doubt, c.latency_ms,
	c.deprecated_at, c.sunset_at, c.deprecated_operation,
	c.refused_webhooks, c.encoded_webhooks, CASE WHEN r.pid IS NOT NULL THEN coalesce(c.webhook_problem, r.problem) END AS webhook_problem,
	CASE WHEN s.fdwname IN ('canopy_api', 'summit_api') THEN (SELECT canopy_summit.scan_problem()) END AS scan_problem,
	CASE s.fdwname WHEN 'canopy_api' THEN coalesce(b.sent, 0) END AS billable_today,
	CASE s.fdwname WHEN 'canopy_api' THEN nullif(pg_catalog.current_setting('canopy_summit.billable_daily_limit')::integer, -1) END AS billable_limit,
	-- British Columbia does not change its clocks any more.
	CASE WHEN pg_catalog.timezone('America/Vancouver', '2026-12-01 12:00Z'::timestamptz) <> '2026-12-01 05:00' AND EXISTS (
			SELECT FROM summit.property y WHERE y.server = s.srvname::text AND y.time_zone IN ('America/Vancouver', 'Canada/Pacific'))
		THEN 'tzdata is older than 2026b: its America/Vancouver is an hour behind in winter, and so are notices and lapses there' END AS time_zone_problem,
	s.dropped_at
FROM (SELECT f.oid, f.srvname, w.fdwname, NULL::timestamptz AS dropped_at
		FROM pg_catalog.pg_foreign_server f
			JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = f.srvfdw AND w.fdwname IN ('canopy_api', 'summit_api', 'webhook_endpoint')
		UNION ALL
		SELECT NULL, d.name, NULL, d.dropped_at FROM canopy_summit.dropped_server d
		WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server f WHERE f.srvname = d.name::name)) AS s
	CROSS JOIN LATERAL canopy_summit.server_queue(s.srvname::text, true) AS q
	CROSS JOIN LATERAL canopy_summit.server_queue(s.srvname::text, false) AS o
	LEFT JOIN canopy_summit.server_counters() AS c ON c.server = s.srvname::text
	LEFT JOIN canopy_summit.receivers() AS r ON true
	LEFT JOIN canopy_summit.billable_day AS b ON b.instance = canopy_summit.instance() AND b.server_oid = s.oid
		AND b.day = (pg_catalog.now() AT TIME ZONE 'UTC')::date
	LEFT JOIN LATERAL (
		SELECT pg_catalog.string_agg(CASE h.owner WHEN '' THEN h.reason ELSE h.owner || ': ' || h.reason END, '; ' ORDER BY h.owner) AS held
		FROM canopy_summit.server_hold h
		WHERE canopy_summit.server_of(h.server_oid, h.server, h.instance) = s.oid) AS h ON true$view$, $notes$
server: the server
depth: queued jobs that this instance sends
oldest_due: when the first of them was due, or will be
unarmed: queued jobs that this instance does not send until canopy_summit.arm()
unarmed_reason: why it does not
held: why jobs wait: paused, or credentials that were refused
breaker_until: the server is out; it is tried again then
stats_since: when the counters began
sent: requests sent
succeeded: jobs that succeeded
retried: attempts that are repeated
failed: jobs that failed
in_doubt: jobs whose effect is not known
latency_ms: [n] counts answers within 2^(n-1) ms, the last one all that took longer
deprecated_at: since when, or from when on, the provider advises against deprecated_operation: header Deprecation of answers of jobs; NULL: not said
sunset_at: when deprecated_operation ends: header Sunset of answers of jobs; NULL: not said
deprecated_operation: the operation of jobs whose answer has said either last; emptied by an answer of its own that says neither
refused_webhooks: deliveries that were not stored: forged, too large, or nothing to verify them with
encoded_webhooks: deliveries that were not stored because their Content-Encoding is not identity: a proxy compresses them, and no signature fits
webhook_problem: why the receiver answers 503 to deliveries of this server, or to all
scan_problem: why jobs that bring or upload documents wait: the virus scanner does not listen, or gave no verdict when it was last asked
billable_today: billable requests that were sent since midnight UTC, those included whose answer was lost
billable_limit: canopy_summit.billable_daily_limit; NULL: there is none
time_zone_problem: why days of its properties begin at another hour than they do there
dropped_at: when the server was dropped, whose rows are here; a new server of that name has them$notes$);

SELECT canopy_summit.define_view('canopy_summit.job_stats', 'jobs by server, operation and state, of those that retention has left; reads the whole table', $view$
SELECT canopy_summit.server_name(j.server_oid, j.server, j.instance) AS server, j.operation, j.state, pg_catalog.count(*) AS jobs,
	pg_catalog.min(j.enqueued_at) AS oldest_enqueued_at, pg_catalog.max(j.finished_at) AS newest_finished_at
FROM canopy_summit.job j
GROUP BY 1, j.operation, j.state$view$, $notes$
server: server they are sent to, by the name it has now
state: queued, running, succeeded, failed, in_doubt or cancelled
jobs: number of jobs
oldest_enqueued_at: when the first was enqueued
newest_finished_at: when the last one ended$notes$);

SELECT canopy_summit.allow('operator', 'function', 'workers receivers scan_problem server_counters server_queue');
SELECT canopy_summit.allow('operator', 'table', 'canopy_summit.job_stats canopy_summit.worker_status canopy_summit.receiver_status canopy_summit.server_health');
