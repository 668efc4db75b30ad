-- task/task.sql: working on tasks, and watching them.
-- Replaceable.

CREATE PROCEDURE canopy_summit.run_tasks()
AS 'MODULE_PATHNAME', 'canopy_summit_run_tasks'
LANGUAGE C;
COMMENT ON PROCEDURE canopy_summit.run_tasks() IS
	'works on tasks until none is left, and commits after each batch: not inside a transaction block; workers do this by themselves';

CREATE FUNCTION canopy_summit.wait_for_task(task_id bigint, timeout interval DEFAULT '1 hour') RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_wait_for_task'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION canopy_summit.wait_for_task(bigint, interval) IS
	'waits until a task is done or has failed, at most so long, says by NOTICEs how far it is, and returns its state then';

CREATE FUNCTION canopy_summit.retry_task(task_id bigint) RETURNS boolean
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT canopy_summit.wake();
	UPDATE canopy_summit.task_part p SET not_before = now(), failures = 0
	WHERE p.task_id = retry_task.task_id AND EXISTS (
		SELECT FROM canopy_summit.task t WHERE t.task_id = p.task_id AND t.state = 'failed');
	WITH retried AS (
		UPDATE canopy_summit.task t SET state = 'running', finished_at = NULL, problem = NULL, updated_at = now()
		WHERE t.task_id = retry_task.task_id AND t.state = 'failed' AND EXISTS (
			SELECT FROM canopy_summit.task_part p WHERE p.task_id = t.task_id)
		RETURNING 1)
	SELECT count(*) > 0 FROM retried;
END;
COMMENT ON FUNCTION canopy_summit.retry_task(bigint) IS 'has what is left of a failed task tried again; false if it has not failed, or nothing is left';

SELECT canopy_summit.define_view('canopy_summit.progress', 'work that takes long, and how far it is', $view$
SELECT t.task_id, t.what, canopy_summit.server_name(t.server_oid, t.server, t.instance) AS server, t.state, t.done,
	t.total, r.rate::numeric(14, 1) AS rate,
	CASE WHEN t.state = 'running' THEN t.updated_at + make_interval(secs => greatest(t.total - t.done, 0) / r.rate) END AS eta,
	t.started_at, canopy_summit.owner_name(t.started_by_oid, t.started_by, t.instance) AS started_by, t.began_at, t.updated_at, t.finished_at,
	CASE WHEN t.state IN ('waiting', 'running') AND t.instance <> canopy_summit.instance()
			THEN 'it was started by another instance; canopy_summit.arm() adopts it'
		ELSE coalesce(t.problem, p.problem) END AS problem
FROM canopy_summit.task t
	CROSS JOIN LATERAL (
		SELECT t.done / nullif(extract(epoch FROM t.updated_at - t.began_at), 0)::double precision) AS n(rate)
	CROSS JOIN LATERAL (SELECT nullif(n.rate, 0)) AS r(rate)
	LEFT JOIN LATERAL (
		SELECT f.problem FROM canopy_summit.task_part f WHERE f.task_id = t.task_id AND f.problem IS NOT NULL LIMIT 1) AS p ON true$view$, $notes$
task_id: key of the task
server: server it is about, by the name it has now
state: waiting, running, done or failed
done: how much is done: pulls of a remap, rows of what else there is
total: how much there is to do, if that is known; more may come meanwhile
rate: how much is done in a second
eta: when it will be done, if it goes on like this
started_at: when somebody asked for it
started_by: role that did, by the name it has now
updated_at: when a batch was done last
finished_at: when it was done or failed
problem: why some of it is tried again, or has failed$notes$);

SELECT canopy_summit.allow('operator', 'function', 'run_tasks wait_for_task retry_task');
SELECT canopy_summit.allow('operator', 'table', 'canopy_summit.progress');
