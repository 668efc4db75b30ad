-- task/task_state.sql: work that takes long, and what is left of it.
-- State.
--
-- A task is done batch by batch, each in a transaction of its own: it takes a part, works on it, and deletes it or
-- notes how far it has come. So a kill only gives the part back, and several workers share one task. Rows are made by
-- the functions that start tasks; nobody inserts any.

CREATE TYPE canopy_summit.task_state AS ENUM ('waiting', 'running', 'done', 'failed');
COMMENT ON TYPE canopy_summit.task_state IS
	'waiting -> running with the first batch, failed; running -> done, failed; failed -> running by retry_task(), or by its job; done is final';

CREATE SEQUENCE canopy_summit.task_id_seq;
CREATE SEQUENCE canopy_summit.task_part_seq;
COMMENT ON SEQUENCE canopy_summit.task_id_seq IS 'keys of canopy_summit.task';
COMMENT ON SEQUENCE canopy_summit.task_part_seq IS 'numbers of canopy_summit.task_part';

CREATE TABLE canopy_summit.task (
	task_id bigint NOT NULL,
	what text NOT NULL,
	args jsonb NOT NULL,
	state canopy_summit.task_state NOT NULL,
	done bigint NOT NULL,
	total bigint,
	position jsonb,
	problem text,
	started_at timestamptz NOT NULL,
	started_by name NOT NULL,
	started_by_oid oid NOT NULL,
	began_at timestamptz,
	updated_at timestamptz NOT NULL,
	finished_at timestamptz,
	server text,
	server_oid oid,
	instance bigint NOT NULL
);
CREATE UNIQUE INDEX task_key ON canopy_summit.task (task_id);
ALTER TABLE canopy_summit.task REPLICA IDENTITY USING INDEX task_key;
CREATE INDEX task_open ON canopy_summit.task (instance, task_id) WHERE state IN ('waiting', 'running');
-- What has not begun is not started twice; what has may have gone past what is new.
CREATE UNIQUE INDEX task_waiting ON canopy_summit.task (instance, what, args) WHERE state = 'waiting';
COMMENT ON TABLE canopy_summit.task IS 'work that takes long, and how far it is';
COMMENT ON COLUMN canopy_summit.task.what IS 'kind of task: remap, rename, retention, sync, monitorings, servicings';
COMMENT ON COLUMN canopy_summit.task.args IS 'what it was started with';
COMMENT ON COLUMN canopy_summit.task.done IS 'how much is done, in the units of the kind: pulls, rows';
COMMENT ON COLUMN canopy_summit.task.total IS 'how much there is to do; NULL: not known';
COMMENT ON COLUMN canopy_summit.task.position IS 'of tasks that have no parts: where they go on';
COMMENT ON COLUMN canopy_summit.task.began_at IS 'when its first batch was done';
COMMENT ON COLUMN canopy_summit.task.server IS 'server it is about, by the name it had when it was started; NULL: none, or all';
COMMENT ON COLUMN canopy_summit.task.server_oid IS 'which server that is, whatever it is called by now; means nothing in another instance';
COMMENT ON COLUMN canopy_summit.task.started_by_oid IS 'which role started_by is, likewise';
COMMENT ON COLUMN canopy_summit.task.instance IS 'canopy_summit.instance() where it was started; nobody elsewhere works on it until arm()';

CREATE TABLE canopy_summit.task_part (
	task_id bigint NOT NULL,
	part bigint NOT NULL,
	position jsonb NOT NULL,
	not_before timestamptz NOT NULL,
	failures integer NOT NULL,
	problem text
);
CREATE UNIQUE INDEX task_part_key ON canopy_summit.task_part (task_id, part);
ALTER TABLE canopy_summit.task_part REPLICA IDENTITY USING INDEX task_part_key;
ALTER TABLE canopy_summit.task_part SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE canopy_summit.task_part IS 'what is left of tasks: each row is worked on, and deleted, in one transaction';
COMMENT ON COLUMN canopy_summit.task_part.position IS 'what it is about, and where it goes on; {}: the task has not begun';
COMMENT ON COLUMN canopy_summit.task_part.not_before IS 'not tried again before; infinity: given up';
COMMENT ON COLUMN canopy_summit.task_part.failures IS 'attempts in a row that failed';
COMMENT ON COLUMN canopy_summit.task_part.problem IS 'why the last one did';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.task_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.task_part_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.task', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.task_part', '');
