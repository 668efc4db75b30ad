-- job/job_state.sql: the outbound job table: durable requests, their attempts and responses.
-- State.
--
-- App code writes the input columns, by the enqueue functions or by a plain
-- INSERT or COPY; the trigger fills the engine's, which have no defaults. A row
-- that comes with its job_id is a restored one and is kept as it is.

CREATE TYPE canopy_summit.job_state AS ENUM ('queued', 'running', 'succeeded', 'failed', 'in_doubt', 'cancelled');
COMMENT ON TYPE canopy_summit.job_state IS
	'queued -> running, failed, cancelled; running -> succeeded, queued, failed, in_doubt; in_doubt -> succeeded, failed, queued by retry_job(), cancelled if its key is old; failed -> queued by retry_job(); each but cancelled -> succeeded by a webhook that tells of its effect; succeeded -> queued by replay_deliveries(); cancelled is final';

CREATE SEQUENCE canopy_summit.job_id_seq;
CREATE SEQUENCE canopy_summit.epoch_seq;
COMMENT ON SEQUENCE canopy_summit.job_id_seq IS 'keys of canopy_summit.job';
COMMENT ON SEQUENCE canopy_summit.epoch_seq IS 'lives of workers: a claim names the life that made it';

CREATE TABLE canopy_summit.job (
	job_id bigint NOT NULL,
	server text NOT NULL,
	operation text NOT NULL,
	params jsonb NOT NULL,
	body jsonb,
	priority smallint NOT NULL,
	run_at timestamptz NOT NULL,
	max_attempts integer NOT NULL,
	ordering_key text,
	dedupe_key text,
	idempotency_key text,
	owner name NOT NULL,
	state canopy_summit.job_state NOT NULL,
	instance bigint NOT NULL,
	fence integer NOT NULL,
	attempts integer NOT NULL,
	epoch bigint,
	lease_until timestamptz,
	first_sent_at timestamptz,
	request_hash bytea,
	reconciles bigint,
	follows bigint,
	enqueued_at timestamptz NOT NULL,
	finished_at timestamptz,
	outcome text,
	outcome_code text,
	outcome_status integer,
	server_oid oid,
	owner_oid oid,
	task_id bigint
);
CREATE UNIQUE INDEX job_key ON canopy_summit.job (job_id);
ALTER TABLE canopy_summit.job REPLICA IDENTITY USING INDEX job_key;
-- Claims read this one alone; finished jobs are never in it.
CREATE INDEX job_due ON canopy_summit.job (instance, server_oid, priority, run_at, job_id) WHERE state = 'queued';
CREATE INDEX job_running ON canopy_summit.job (epoch) WHERE state = 'running';
CREATE INDEX job_ordering ON canopy_summit.job (ordering_key text_pattern_ops, server_oid, owner_oid, job_id)
	WHERE ordering_key IS NOT NULL AND state IN ('queued', 'running', 'in_doubt');
CREATE INDEX job_dedupe ON canopy_summit.job (dedupe_key text_pattern_ops, server_oid)
	WHERE dedupe_key IS NOT NULL AND state = 'queued';
CREATE INDEX job_reconciles ON canopy_summit.job (reconciles) WHERE reconciles IS NOT NULL;
CREATE INDEX job_stopped ON canopy_summit.job (state, job_id) WHERE state IN ('failed', 'in_doubt');
-- A queue's rows die young.
ALTER TABLE canopy_summit.job SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
	autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05);

COMMENT ON TABLE canopy_summit.job IS 'durable outbound requests: INSERT server, operation, params and body to have one sent after COMMIT';
COMMENT ON COLUMN canopy_summit.job.job_id IS 'filled by the engine; a row that comes with one is a restored row';
COMMENT ON COLUMN canopy_summit.job.server IS 'foreign server to send to, by the name it had when the job was enqueued or last claimed';
COMMENT ON COLUMN canopy_summit.job.server_oid IS 'which server that is, whatever it is called by now; means nothing in another instance than the job''s';
COMMENT ON COLUMN canopy_summit.job.owner_oid IS 'which role owner is, likewise';
COMMENT ON COLUMN canopy_summit.job.operation IS 'name in canopy_summit.operation';
COMMENT ON COLUMN canopy_summit.job.body IS 'as params without the parameters that the catalogue calls secret, once the job has ended';
COMMENT ON COLUMN canopy_summit.job.priority IS '0 is sent first, 9 last; 5 unless given';
COMMENT ON COLUMN canopy_summit.job.run_at IS 'not sent before; now unless given, or if past';
COMMENT ON COLUMN canopy_summit.job.max_attempts IS 'attempts that reach the server; 10 unless given, at most 2 for billable operations';
COMMENT ON COLUMN canopy_summit.job.ordering_key IS 'jobs of one server, owner and key are sent one after the other in commit order';
COMMENT ON COLUMN canopy_summit.job.dedupe_key IS 'of the queued jobs of one server, owner and key one is sent, the others are cancelled';
COMMENT ON COLUMN canopy_summit.job.idempotency_key IS 'of keyed operations: the Idempotency-Key of every attempt; made unless given';
COMMENT ON COLUMN canopy_summit.job.owner IS 'role that enqueued it, by the name it had then, and whose user mapping it is sent with';
COMMENT ON COLUMN canopy_summit.job.instance IS 'canopy_summit.instance() where it was enqueued; workers elsewhere leave it alone until arm()';
COMMENT ON COLUMN canopy_summit.job.fence IS 'number of its claims; a settle that names an older one is rejected';
COMMENT ON COLUMN canopy_summit.job.epoch IS 'life of the worker that has claimed it';
COMMENT ON COLUMN canopy_summit.job.lease_until IS 'a claim that is older is taken over';
COMMENT ON COLUMN canopy_summit.job.request_hash IS 'SHA-256 of what is sent, of uploads';
COMMENT ON COLUMN canopy_summit.job.reconciles IS 'the in-doubt job whose effect this one looks up';
COMMENT ON COLUMN canopy_summit.job.follows IS 'the upload''s job whose end this one asks for';
COMMENT ON COLUMN canopy_summit.job.task_id IS 'the task whose work it is, such as a page of a sync';
COMMENT ON COLUMN canopy_summit.job.outcome IS 'what came of the last attempt, or why it was not sent';
COMMENT ON COLUMN canopy_summit.job.outcome_code IS 'error code of the API, or of the engine in lower case';

CREATE TABLE canopy_summit.job_attempt (
	job_id bigint NOT NULL,
	fence integer NOT NULL,
	epoch bigint,
	started_at timestamptz NOT NULL,
	settled boolean NOT NULL,
	outcome text NOT NULL,
	status integer,
	code text,
	lookup_us bigint,
	connect_us bigint,
	tls_us bigint,
	first_byte_us bigint,
	total_us bigint,
	sent_bytes bigint,
	received_bytes bigint,
	sends integer
);
CREATE UNIQUE INDEX job_attempt_key ON canopy_summit.job_attempt (job_id, fence);
ALTER TABLE canopy_summit.job_attempt REPLICA IDENTITY USING INDEX job_attempt_key;
COMMENT ON TABLE canopy_summit.job_attempt IS 'every send of a job; times are microseconds from its start until a stage was over';
COMMENT ON COLUMN canopy_summit.job_attempt.fence IS 'the claim that sent it';
COMMENT ON COLUMN canopy_summit.job_attempt.sends IS 'how often it was sent: more than once where a connection that was kept had died meanwhile';
COMMENT ON COLUMN canopy_summit.job_attempt.settled IS 'false: the claim had been taken over, and its result was rejected';

CREATE TABLE canopy_summit.job_response (
	job_id bigint NOT NULL,
	response jsonb NOT NULL,
	received_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX job_response_key ON canopy_summit.job_response (job_id);
ALTER TABLE canopy_summit.job_response REPLICA IDENTITY USING INDEX job_response_key;
COMMENT ON TABLE canopy_summit.job_response IS 'answers of succeeded jobs, out of their envelope, secret fields redacted';

-- Not dumped, and no level reads it: whoever enqueued the job takes it.
CREATE TABLE canopy_summit.job_secret (
	job_id bigint NOT NULL,
	secret text NOT NULL,
	instance bigint NOT NULL,
	received_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX job_secret_key ON canopy_summit.job_secret (job_id);
ALTER TABLE canopy_summit.job_secret REPLICA IDENTITY USING INDEX job_secret_key;
COMMENT ON TABLE canopy_summit.job_secret IS 'secrets that answers have brought, until canopy_summit.take_secret() or an hour has passed';
COMMENT ON COLUMN canopy_summit.job_secret.instance IS 'canopy_summit.instance() to which it was told';

-- No level reads it; dumped with its job, which cannot be sent without.
CREATE TABLE canopy_summit.job_file (
	job_id bigint NOT NULL,
	size bigint NOT NULL,
	number integer NOT NULL,
	name text NOT NULL,
	media_type text NOT NULL,
	content bytea NOT NULL
);
ALTER TABLE canopy_summit.job_file ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX job_file_key ON canopy_summit.job_file (job_id, number);
ALTER TABLE canopy_summit.job_file REPLICA IDENTITY USING INDEX job_file_key;
COMMENT ON TABLE canopy_summit.job_file IS 'files that a job sends beside its body, until it has ended';
COMMENT ON COLUMN canopy_summit.job_file.number IS 'by which the body names it, from 1';

-- A hold keeps jobs queued: of a whole server, or of one role whose credential was refused.
CREATE TABLE canopy_summit.server_hold (
	server text NOT NULL,
	owner text NOT NULL,
	reason text NOT NULL,
	credential_hash bytea,
	held_at timestamptz NOT NULL,
	held_by name NOT NULL,
	server_oid oid NOT NULL,
	owner_oid oid NOT NULL,
	instance bigint NOT NULL
);
CREATE UNIQUE INDEX server_hold_key ON canopy_summit.server_hold (instance, server_oid, owner_oid);
ALTER TABLE canopy_summit.server_hold REPLICA IDENTITY USING INDEX server_hold_key;
COMMENT ON TABLE canopy_summit.server_hold IS 'servers and credentials whose jobs wait: pause_server(), or a refused credential; resume_server() ends it';
COMMENT ON COLUMN canopy_summit.server_hold.owner IS 'role whose jobs wait; empty: everybody''s';
COMMENT ON COLUMN canopy_summit.server_hold.server_oid IS 'which server that is, whatever it is called by now';
COMMENT ON COLUMN canopy_summit.server_hold.owner_oid IS 'which role that is; 0: everybody''s';
COMMENT ON COLUMN canopy_summit.server_hold.instance IS 'where it was written; a worker elsewhere, after a restore, takes it over by its names';
COMMENT ON COLUMN canopy_summit.server_hold.credential_hash IS 'digest of the refused credential, made with canopy_summit.hold_key: with another one the hold ends by itself';

-- Not dumped: a digest that was restored fits nothing, and its hold ends with one more try. No level reads it.
CREATE TABLE canopy_summit.hold_key (
	key bytea NOT NULL
);
CREATE UNIQUE INDEX hold_key_one ON canopy_summit.hold_key ((true));
INSERT INTO canopy_summit.hold_key SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');
COMMENT ON TABLE canopy_summit.hold_key IS 'one row: random bytes without which nobody can guess the credential that a hold was written for';

CREATE TABLE canopy_summit.instance_state (
	timeline integer NOT NULL
);
ALTER TABLE canopy_summit.instance_state REPLICA IDENTITY FULL;
COMMENT ON TABLE canopy_summit.instance_state IS 'one row: the timeline on which a worker last began; a new one means a promotion';

CREATE TABLE canopy_summit.billable_day (
	instance bigint NOT NULL,
	server_oid oid NOT NULL,
	day date NOT NULL,
	server text NOT NULL,
	sent bigint NOT NULL,
	put_off_at integer
);
CREATE UNIQUE INDEX billable_day_key ON canopy_summit.billable_day (instance, server_oid, day);
ALTER TABLE canopy_summit.billable_day REPLICA IDENTITY USING INDEX billable_day_key;
COMMENT ON TABLE canopy_summit.billable_day IS 'billable requests by server and day (UTC), counted before they are sent; what is known to have had no effect is not among them';
COMMENT ON COLUMN canopy_summit.billable_day.instance IS 'canopy_summit.instance() that sent them';
COMMENT ON COLUMN canopy_summit.billable_day.server_oid IS 'which server that is, whatever it is called by now';
COMMENT ON COLUMN canopy_summit.billable_day.server IS 'its name when the last was counted';
COMMENT ON COLUMN canopy_summit.billable_day.sent IS 'requests that have, or may have, reached the server';
COMMENT ON COLUMN canopy_summit.billable_day.put_off_at IS 'the limit by which some were put off until the next day; NULL: none were';

CREATE TABLE canopy_summit.retention_rule (
	what text NOT NULL PRIMARY KEY CHECK (what IN ('job', 'job_response', 'webhook', 'task')),
	keep interval NOT NULL CHECK (keep >= interval '0')
);
COMMENT ON TABLE canopy_summit.retention_rule IS
	'how long finished jobs (with attempts and responses), only their responses, applied webhooks, or tasks that are done or have failed, are kept; without a row, for ever; webhooks at least 26 hours, in which they may come again';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.epoch_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.job', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.job_attempt', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.job_response', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.job_file', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.server_hold', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.billable_day', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.retention_rule', '');
