/*
 * job.c
 *	  The statements of the job table: insert, claim, settle, recover.
 *
 * A claim raises the fence of its jobs and names the worker's epoch, and whoever
 * takes a claim back raises it too; a settle counts only while its fence is the
 * job's.  Both take a batch at a time.  Whoever commits them does so synchronously.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/operation.h"
#include "base/digest.h"
#include "engine/engine.h"
#include "engine/instance.h"
#include "engine/statement.h"
#include "job/epoch.h"
#include "job/file.h"
#include "job/job.h"
#include "process/shared.h"
#include "process/wake.h"

PG_FUNCTION_INFO_V1(canopy_summit_json_size);

#define WORKER_STUCK (5 * 1000) /* ms without a turn, of which there is one a second */

enum
{
	JOB_INSERT,
	JOB_CLAIM,
	JOB_CANCEL_DUPLICATES,
	JOB_NEXT_DUE,
	JOB_SERVERS,
	JOB_EPOCHS,
	JOB_RECOVER,
	STATEMENT_COUNT
};

#define CLAIMED_COLUMNS                                                                               \
	"j.job_id, j.fence, j.server_oid, j.owner_oid, j.server, j.operation, j.params, j.body, j.owner," \
	" j.attempts, j.max_attempts, j.run_at, j.first_sent_at, j.priority, j.ordering_key IS NOT NULL," \
	" j.dedupe_key IS NOT NULL, j.reconciles, j.task_id, j.request_hash"

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[JOB_INSERT] = {14, {INT8OID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, NAMEOID, INT2OID,
			TIMESTAMPTZOID, TEXTOID, BYTEAOID, INT8OID, TIMESTAMPTZOID, OIDOID, OIDOID},
		JOB_WRITE("job_id, server, operation, params, body, owner, priority, run_at, idempotency_key,"
			" request_hash, instance, first_sent_at, server_oid, owner_oid",
			"$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14")},
	/*
	 * Of each priority the next jobs past the cursor.  A job waits while an
	 * earlier one of its ordering key is unfinished, or one of its dedupe key
	 * comes before it.  IS NOT DISTINCT FROM keeps the planner off the wrong index.
	 * Of those, the first and as many more as have $12 bytes to send before them.
	 */
	[JOB_CLAIM] = {14, {INT8OID, OIDOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID,
			INT4OID, OIDARRAYOID, INT8OID, TIMESTAMPTZOID, INT2ARRAYOID, TIMESTAMPTZOID, INT8OID,
			TEXTARRAYOID, TEXTARRAYOID},
		"WITH due AS MATERIALIZED ("
		" SELECT d.job_id, sum(d.bytes) OVER (ROWS UNBOUNDED PRECEDING) - d.bytes AS bytes_before"
		" FROM unnest($3, $4, $10) AS p(run_at, job_id, priority),"
		" LATERAL ("
		"  SELECT q.job_id, canopy_summit.json_size(q.params)"
		"   + coalesce(canopy_summit.json_size(q.body), 0)"
		"   + CASE WHEN q.operation = ANY ($14) THEN canopy_summit.job_files_size(q.job_id) ELSE 0 END AS bytes"
		"  FROM canopy_summit.job q"
		"  WHERE q.state = 'queued' AND q.instance = $1 AND q.server_oid = $2"
		"   AND q.priority = p.priority"
		"   AND (q.run_at, q.job_id) > (p.run_at, p.job_id) AND q.run_at <= $11"
		"   AND (q.ordering_key IS NULL OR NOT EXISTS ("
		"    SELECT FROM canopy_summit.job e"
		"    WHERE e.ordering_key = q.ordering_key AND e.server_oid = q.server_oid AND e.owner_oid = q.owner_oid"
		"     AND e.job_id < q.job_id AND e.instance IN ($1, ~$1)"
		"     AND e.state IN ('queued', 'running', 'in_doubt')))"
		"   AND (q.dedupe_key IS NULL OR NOT EXISTS ("
		"    SELECT FROM canopy_summit.job e"
		"    WHERE e.dedupe_key = q.dedupe_key AND e.server_oid = q.server_oid AND e.state = 'queued'"
		"     AND e.instance IS NOT DISTINCT FROM q.instance AND e.owner_oid = q.owner_oid AND e.run_at <= $5"
		"     AND (e.priority, e.run_at, e.job_id) < (q.priority, q.run_at, q.job_id)))"
		"   AND q.owner_oid <> ALL ($7)"
		"   AND (cardinality($13) = 0 OR q.operation || ' ' || q.owner_oid <> ALL ($13))"
		"  ORDER BY q.run_at, q.job_id LIMIT $6 FOR UPDATE SKIP LOCKED) AS d"
		/* The last look for holds may have been before a pause, and this snapshot sees the jobs that came after it. */
		" WHERE NOT EXISTS (SELECT FROM canopy_summit.server_hold h WHERE h.instance = $1"
		"  AND h.server_oid = $2 AND h.owner_oid = 0)"
		" LIMIT $6)"
		" UPDATE canopy_summit.job j"
		" SET state = 'running', fence = j.fence + 1, epoch = $8, lease_until = $9,"
		" first_sent_at = coalesce(j.first_sent_at, $5),"
		" server = coalesce((SELECT s.srvname::text FROM pg_foreign_server s WHERE s.oid = $2), j.server)"
		" FROM due WHERE j.job_id = due.job_id AND due.bytes_before <= $12"
		" RETURNING " CLAIMED_COLUMNS},
	[JOB_CANCEL_DUPLICATES] = {1, {INT8ARRAYOID},
		"UPDATE canopy_summit.job d"
		" SET state = 'cancelled', finished_at = now(), outcome_code = 'duplicate',"
		" outcome = 'job ' || c.first || ' has the same dedupe_key',"
		JOB_KEEPS("d", "'cancelled'")
		" FROM (SELECT q.job_id, f.job_id AS first FROM canopy_summit.job f,"
		/* What locks rows is looked up for each, whatever the planner takes the queue for. */
		"  LATERAL (SELECT w.job_id FROM canopy_summit.job w"
		"   WHERE w.dedupe_key = f.dedupe_key AND w.server_oid = f.server_oid AND w.state = 'queued'"
		"   AND w.instance IS NOT DISTINCT FROM f.instance AND w.owner_oid = f.owner_oid"
		"   AND w.job_id <> f.job_id FOR UPDATE SKIP LOCKED) AS q"
		"  WHERE f.job_id = ANY ($1) AND f.dedupe_key IS NOT NULL) AS c"
		" WHERE d.job_id = c.job_id"},
	[JOB_NEXT_DUE] = {3, {INT8OID, OIDARRAYOID, TIMESTAMPTZOID},
		"SELECT min(d.run_at) FROM unnest($2) AS s(server_oid), generate_series(0, 9) AS p(priority),"
		" LATERAL (SELECT q.run_at FROM canopy_summit.job q"
		"  WHERE q.state = 'queued' AND q.instance = $1 AND q.server_oid = s.server_oid"
		"   AND q.priority = p.priority::smallint AND q.run_at > $3"
		"  ORDER BY q.run_at LIMIT 1) AS d"},
	/* A loose index scan: a look-up a server, however many jobs it has. */
	[JOB_SERVERS] = {1, {INT8OID},
		"WITH RECURSIVE servers AS ("
		" (SELECT server_oid FROM canopy_summit.job WHERE state = 'queued' AND instance = $1"
		"  ORDER BY server_oid LIMIT 1)"
		" UNION ALL"
		" SELECT (SELECT j.server_oid FROM canopy_summit.job j"
		"  WHERE j.state = 'queued' AND j.instance = $1 AND j.server_oid > s.server_oid"
		"  ORDER BY j.server_oid LIMIT 1)"
		" FROM servers s WHERE s.server_oid IS NOT NULL)"
		" SELECT q.server_oid, s.srvname::text FROM servers q"
		" LEFT JOIN pg_foreign_server s ON s.oid = q.server_oid WHERE q.server_oid IS NOT NULL"
		" UNION SELECT s.oid, s.srvname::text FROM pg_foreign_server s"
		" JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw"
		" WHERE w.fdwname IN ('canopy_api', 'summit_api', 'webhook_endpoint')"},
	[JOB_EPOCHS] = {0, {0},
		"SELECT epoch, min(lease_until) FROM canopy_summit.job WHERE state = 'running' GROUP BY epoch"},
	/*
	 * $3 are the operations that must not be repeated.  A job that loses its worker again and
	 * again is what ends it.
	 */
	[JOB_RECOVER] = {3, {INT8OID, BOOLOID, TEXTARRAYOID},
		"WITH lost AS ("
		" UPDATE canopy_summit.job j"
		" SET state = e.state::canopy_summit.job_state,"
		" finished_at = CASE WHEN e.state = 'failed' THEN now() END,"
		" run_at = least(j.run_at, now()), fence = j.fence + 1, epoch = NULL, lease_until = NULL,"
		" outcome = 'the worker that sent it was lost',"
		" outcome_code = 'worker_lost',"
		JOB_KEEPS("j", "e.state")
		" FROM (SELECT job_id, fence, operation FROM canopy_summit.job"
		"  WHERE state = 'running' AND epoch = $1 AND (NOT $2 OR lease_until < now())"
		"  FOR UPDATE SKIP LOCKED) AS r,"
		" LATERAL (SELECT CASE WHEN r.operation = ANY ($3) THEN 'in_doubt'"
		"  WHEN count(*) >= 20 THEN 'failed' ELSE 'queued' END AS state"
		"  FROM canopy_summit.job_attempt a"
		"  WHERE a.job_id = r.job_id AND a.code = 'worker_lost') AS e"
		" WHERE j.job_id = r.job_id AND j.fence = r.fence"
		" RETURNING j.job_id, j.fence - 1 AS fence)"
		" INSERT INTO canopy_summit.job_attempt (job_id, fence, epoch, started_at, settled, outcome, code)"
		" SELECT job_id, fence, $1, now(), true, 'the worker that sent it was lost', 'worker_lost'"
		" FROM lost ON CONFLICT (job_id, fence) DO NOTHING"},
};
/* clang-format on */

/* Refuse what a worker should not have in its memory.  Error 54000. */
void
job_check_size(const Jsonb *params, const Jsonb *body)
{
	if (params != NULL && VARSIZE(params) > JOB_PARAMS_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("params of a job are larger than %d kB", JOB_PARAMS_MAX / 1024),
						errhint("Params go into the URL and headers; what is to be sent as content "
								"goes into body.")));
	if (body != NULL && VARSIZE(body) > JOB_BODY_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("body of a job is larger than %d MB", JOB_BODY_MAX / (1024 * 1024)),
						errhint("Give documents as https URLs, or make them smaller.")));
}

/* Enqueue a job of the engine's own, and wake the worker at COMMIT; returns its key. */
int64
job_insert(const JobSpec *spec)
{
	int64 job_id = engine_next_key("job_id_seq");
	Values arguments = {0};

	values_add_int64(&arguments, job_id);
	values_add_text(&arguments, spec->server);
	values_add_text(&arguments, spec->operation);
	values_add_json(&arguments, spec->params);
	values_add_json(&arguments, spec->body);
	values_add_name(&arguments, spec->owner);
	values_add_int16(&arguments, spec->priority);
	values_add_time(&arguments, spec->run_at);
	values_add_text(&arguments, spec->idempotency_key);
	if (spec->request_hash != NULL)
		values_add_bytes(&arguments, spec->request_hash, DIGEST_LENGTH);
	else
		values_add_unless(&arguments, true, (Datum) 0);
	values_add_int64(&arguments, instance_current());
	values_add_unless(&arguments, spec->first_sent_at == 0,
					  TimestampTzGetDatum(spec->first_sent_at));
	values_add_oid(&arguments, spec->server_oid);
	values_add_oid(&arguments, spec->owner_oid);
	job_check_size(spec->params, spec->body);
	statement_run_values(&statements[JOB_INSERT], &arguments);
	wake_at_commit(spec->run_at);
	return job_id;
}

/* A claimed row as a Job in the current memory context. */
static Job *
job_read(Record record)
{
	Job *job = palloc0(sizeof(Job));
	bytea *hash;

	job->job_id = record_int64(&record);
	job->fence = record_int32(&record);
	job->server_oid = record_oid(&record);
	job->owner_oid = record_oid(&record);
	job->server = record_text(&record);
	job->operation = operation_lookup(record_text(&record));
	job->params = record_json(&record);
	job->body = record_json(&record);
	job->owner = record_name(&record);
	job->attempts = record_int32(&record);
	job->max_attempts = record_int32(&record);
	job->run_at = record_time(&record);
	job->first_sent_at = record_time(&record);
	job->priority = record_int16(&record);
	job->has_ordering_key = record_boolean(&record);
	job->has_dedupe_key = record_boolean(&record);
	job->reconciles = record_int64(&record);
	job->task_id = record_int64(&record);
	hash = record_bytes(&record);
	if (hash != NULL && VARSIZE_ANY_EXHDR(hash) == DIGEST_LENGTH)
		job->request_hash = memcpy(palloc(DIGEST_LENGTH), VARDATA_ANY(hash), DIGEST_LENGTH);
	return job;
}

/* The bytes of what a job sends. */
int64
job_bytes(const Job *job)
{
	return VARSIZE(job->params) + (job->body ? VARSIZE(job->body) : 0) +
		   job_files_bytes(job->files);
}

/* canopy_summit.json_size(jsonb) -> integer: the bytes that a value takes once it is read, without reading it */
Datum
canopy_summit_json_size(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(toast_raw_datum_size(PG_GETARG_DATUM(0)));
}

/* Refuse a key that its header would be left out for (libcurl sends none that is blank), or that fits into no index. */
void
job_check_idempotency_key(const char *key)
{
	if (key[strspn(key, " \t")] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("idempotency_key must not be blank"),
						errhint("Without one, NULL, a key is made.")));
	if (strlen(key) > JOB_KEY_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("idempotency_key is longer than %d bytes", JOB_KEY_MAX)));
}

/*
 * Claim due jobs.  Returns a List of Job *, each in a memory context of its own
 * below `parent`; the List is in the current one.
 */
List *
job_claim(const ClaimOrder *order, MemoryContext parent)
{
	Datum run_at[JOB_PRIORITIES];
	Datum job_id[JOB_PRIORITIES];
	Datum priority[JOB_PRIORITIES];
	Datum arguments[14];
	List *jobs = NIL;

	for (int i = 0; i < JOB_PRIORITIES; i++)
	{
		int p = (order->first_priority + i) % JOB_PRIORITIES;

		run_at[i] = TimestampTzGetDatum(order->cursor->run_at[p]);
		job_id[i] = Int64GetDatum(order->cursor->job_id[p]);
		priority[i] = Int16GetDatum(p);
	}
	arguments[0] = Int64GetDatum(instance_current());
	arguments[1] = ObjectIdGetDatum(order->server_oid);
	arguments[2] = statement_array(run_at, NULL, JOB_PRIORITIES, TIMESTAMPTZOID);
	arguments[3] = statement_array(job_id, NULL, JOB_PRIORITIES, INT8OID);
	arguments[4] = TimestampTzGetDatum(order->now);
	arguments[5] = Int32GetDatum(order->count);
	arguments[6] = statement_oids(order->held_owners);
	arguments[7] = Int64GetDatum(order->epoch);
	arguments[8] = TimestampTzGetDatum(order->lease);
	arguments[9] = statement_array(priority, NULL, JOB_PRIORITIES, INT2OID);
	arguments[10] = TimestampTzGetDatum(order->due);
	arguments[11] = Int64GetDatum(order->bytes);
	arguments[12] = statement_texts(order->excess);
	arguments[13] = operations_with_files();
	statement_run(&statements[JOB_CLAIM], arguments, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext context =
			AllocSetContextCreate(parent, "canopy_summit job", ALLOCSET_SMALL_SIZES);
		MemoryContext old = MemoryContextSwitchTo(context);
		Job *job = job_read(statement_record(i));

		job->claimed_at = order->now;
		MemoryContextSwitchTo(old);
		jobs = lappend(jobs, job);
	}
	SPI_freetuptable(SPI_tuptable);
	return jobs;
}

/* Cancel the queued jobs that have the dedupe key of one of these (a List of Job *).  Returns how many. */
int
job_cancel_duplicates(List *jobs)
{
	Datum *ids = palloc(sizeof(Datum) * Max(list_length(jobs), 1));
	Datum arguments[1];
	int count = 0;
	ListCell *cell;

	foreach(cell, jobs)
	{
		Job *job = lfirst(cell);

		if (job->has_dedupe_key)
			ids[count++] = Int64GetDatum(job->job_id);
	}
	if (count == 0)
		return 0;
	arguments[0] = statement_array(ids, NULL, count, INT8OID);
	return (int) statement_run(&statements[JOB_CANCEL_DUPLICATES], arguments, NULL);
}

/* When the next job of these servers, a List of Oid, is due, after now; DT_NOEND = never. */
TimestampTz
job_next_due(List *servers, TimestampTz now)
{
	Datum arguments[3] = {Int64GetDatum(instance_current()), statement_oids(servers),
						  TimestampTzGetDatum(now)};
	Record record;
	TimestampTz due;

	statement_run(&statements[JOB_NEXT_DUE], arguments, NULL);
	record = statement_record(0);
	due = record_time(&record);
	SPI_freetuptable(SPI_tuptable);
	return record.isnull ? DT_NOEND : due;
}

/* The servers that have queued jobs, and those that exist: a List of JobServer *. */
List *
job_servers(void)
{
	Datum arguments[1] = {Int64GetDatum(instance_current())};
	List *servers = NIL;

	statement_run(&statements[JOB_SERVERS], arguments, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		JobServer *server = palloc(sizeof(JobServer));
		Record record = statement_record(i);

		server->server_oid = record_oid(&record);
		server->server = record_text(&record);
		servers = lappend(servers, server);
	}
	SPI_freetuptable(SPI_tuptable);
	return servers;
}

/*
 * Take back the claims of workers that are gone, and those of workers that are
 * stuck and past their lease; one that is not stuck settles what it has, however
 * long it waits for a lock.  Returns how many; *next_lease is when a claim of
 * another worker runs out, DT_NOEND = there is none.
 */
int
job_recover(int64 own_epoch, TimestampTz now, TimestampTz *next_lease)
{
	int count = 0;
	uint64 rows;
	SPITupleTable *epochs;

	*next_lease = DT_NOEND;
	rows = statement_run(&statements[JOB_EPOCHS], NULL, NULL);
	epochs = SPI_tuptable;
	for (uint64 i = 0; i < rows; i++)
	{
		Record record = {.row = epochs->vals[i], .descriptor = epochs->tupdesc};
		int64 epoch = record_int64(&record);
		TimestampTz lease = record_time(&record);
		bool alive = epoch == own_epoch || epoch_is_alive(epoch);
		bool turns =
			alive && shared_worker_turns(epoch, TimestampTzPlusMilliseconds(now, -WORKER_STUCK));
		Datum arguments[3] = {Int64GetDatum(epoch), BoolGetDatum(alive), operations_not_repeated()};

		if (epoch == own_epoch)
			continue;
		if (!alive || (lease < now && !turns))
			count += (int) statement_run(&statements[JOB_RECOVER], arguments, NULL);
		else
			*next_lease =
				Min(*next_lease, Max(lease, TimestampTzPlusMilliseconds(now, WORKER_STUCK)));
	}
	SPI_freetuptable(epochs);
	return count;
}
