/*
 * run.c
 *	  Working on tasks: a chore of the workers, and a procedure where there are none.
 *
 * A batch takes a part that nobody else has, works on it in a subtransaction, and
 * deletes it, or notes where it goes on or why it failed, in one transaction: a
 * kill gives it back as it was.  The row of the task comes last, so that those
 * who share one wait for each other no longer than a commit takes.  A batch waits
 * for nobody else: what is locked is tried again later, in smaller parts.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/backoff.h"
#include "engine/engine.h"
#include "engine/instance.h"
#include "engine/statement.h"
#include "engine/subtransaction.h"
#include "process/chore.h"
#include "task/kind.h"
#include "task/task.h"

#define PATIENCE     "50ms"    /* for a lock, while others may wait for what the batch has */
#define PATIENCE_ROW "10s"     /* for the task's row, which others have until they have committed */
#define FAILURES_MAX 5         /* in a row, of a part that fails for another reason than a lock */
#define AGAIN_FIRST  100       /* ms until a part that failed is tried again */
#define AGAIN_LAST   10 * 1000 /* ms */
#define LOOK_AGAIN   100       /* ms until parts that somebody else has are looked at again */
#define NAP          100       /* ms that the procedure sleeps at once */

PG_FUNCTION_INFO_V1(canopy_summit_run_tasks);

/* A part of a task that runs, or one that begins, whose row must not be locked: whoever started it may not have committed. */
#define TAKE_PART(state, rows)                                                                   \
	{                                                                                            \
		2, {INT8OID, TEXTARRAYOID},                                                              \
			"SELECT p.task_id, p.part, t.args, nullif(p.position, '{}'), p.failures, t.what"     \
			" FROM canopy_summit.task_part p JOIN canopy_summit.task t ON t.task_id = p.task_id" \
			" WHERE t.instance = $1 AND t.state = '" state "' AND t.what = ANY ($2)"             \
			" AND p.not_before <= now()"                                                         \
			" ORDER BY p.task_id, p.part LIMIT 1 FOR UPDATE OF " rows " SKIP LOCKED"             \
	}
static Statement take_running = TAKE_PART("running", "p");
static Statement take_waiting = TAKE_PART("waiting", "p, t");

static Statement delete_part = {2,
								{INT8OID, INT8OID},
								"DELETE FROM canopy_summit.task_part"
								" WHERE task_id = $1 AND part = $2"};
static Statement move_part = {3,
							  {INT8OID, INT8OID, JSONBOID},
							  "UPDATE canopy_summit.task_part"
							  " SET position = $3, failures = 0, problem = NULL"
							  " WHERE task_id = $1 AND part = $2"};
static Statement postpone_part = {
	4,
	{INT8OID, INT8OID, TEXTOID, INT8OID},
	"UPDATE canopy_summit.task_part"
	" SET failures = failures + 1, problem = $3, not_before = coalesce("
	"  clock_timestamp() + $4 * interval '1 ms', 'infinity')"
	" WHERE task_id = $1 AND part = $2"};

/* Tasks of which nothing is left but what was given up.  One whose last part somebody is about to delete is theirs. */
static Statement end_tasks = {
	2,
	{INT8OID, TEXTARRAYOID},
	"WITH ended AS (SELECT t.task_id FROM canopy_summit.task t"
	"  WHERE t.instance = $1 AND t.state IN ('waiting', 'running') AND t.what = ANY ($2)"
	"  AND NOT EXISTS (SELECT FROM canopy_summit.task_part p"
	"   WHERE p.task_id = t.task_id AND p.not_before < 'infinity') FOR UPDATE SKIP LOCKED)"
	" UPDATE canopy_summit.task t SET state = f.state, problem = f.problem, finished_at = clock_timestamp()"
	" FROM ended, LATERAL (SELECT CASE count(*) WHEN 0 THEN 'done' ELSE 'failed' END::canopy_summit.task_state,"
	"  max(p.problem) FROM canopy_summit.task_part p WHERE p.task_id = ended.task_id) AS f(state, problem)"
	" WHERE t.task_id = ended.task_id RETURNING t.task_id, t.what, t.state = 'done'"};
static Statement delete_task = {1, {INT8OID}, "DELETE FROM canopy_summit.task WHERE task_id = $1"};

static Statement find_next = {2,
							  {INT8OID, TEXTARRAYOID},
							  "SELECT min(p.not_before) FROM canopy_summit.task_part p"
							  " JOIN canopy_summit.task t ON t.task_id = p.task_id"
							  " WHERE t.instance = $1 AND t.state IN ('waiting', 'running')"
							  " AND t.what = ANY ($2) AND p.not_before < 'infinity'"};

/* A part that is being worked on. */
typedef struct Batch
{
	TaskPart part;
	TaskKind *kind;
	int failures; /* before */
} Batch;

/* Take a part that may be worked on; false if there is none that nobody else has. */
static bool
batch_take(Statement *take, Datum *whose, Batch *batch)
{
	Record record;

	if (statement_run(take, whose, NULL) == 0)
		return false;
	record = statement_record(0);
	batch->part.task_id = record_int64(&record);
	batch->part.part = record_int64(&record);
	batch->part.args = record_json(&record);
	batch->part.position = record_json(&record);
	batch->part.total = -1;
	batch->failures = record_int32(&record);
	batch->kind = task_kind_find(record_text(&record));
	return true;
}

/* The body of a subtransaction. */
static void
batch_work(void *argument)
{
	Batch *batch = argument;

	batch->kind->batch(&batch->part);
}

/* Note what was done. */
static void
batch_succeeded(Batch *batch)
{
	TaskPart *part = &batch->part;
	Datum arguments[3] = {Int64GetDatum(part->task_id), Int64GetDatum(part->part)};

	if (part->next == NULL)
		(void) statement_run(&delete_part, arguments, NULL);
	else
	{
		arguments[2] = JsonbPGetDatum(part->next);
		(void) statement_run(&move_part, arguments, NULL);
	}
	task_advance(part->task_id, part->done, part->total);
}

/* Whether an error goes away by itself. */
static bool
error_is_transient(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR);
}

/* Have the part tried again later, in smaller parts if it has any, or give it up. */
static void
batch_failed(Batch *batch, const ErrorData *error)
{
	TaskPart *part = &batch->part;
	bool is_last = batch->failures + 1 >= FAILURES_MAX && !error_is_transient(error);
	int64 delay = backoff_delay(AGAIN_FIRST, AGAIN_LAST, batch->failures);
	Values values = {0};

	values_add_int64(&values, part->task_id);
	values_add_int64(&values, part->part);
	if (part->position != NULL && batch->kind->divide != NULL && batch->kind->divide(part))
	{
		(void) statement_run_values(&delete_part, &values);
		return;
	}
	values_add_text(&values, error->message);
	values_add_unless(&values, is_last, Int64GetDatum(backoff_spread(delay, 0.5)));
	(void) statement_run_values(&postpone_part, &values);
}

/* How long to wait for a lock, until the end of engine_begin(). */
static void
patience_set(const char *patience)
{
	(void) set_config_option("lock_timeout", patience, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

/* Work on one part; false if there is none now. */
static bool
batch_run(Datum *whose)
{
	Batch batch = {0};
	MemoryContext scratch;
	ErrorData *error;

	if (!batch_take(&take_running, whose, &batch) && !batch_take(&take_waiting, whose, &batch))
		return false;
	scratch =
		AllocSetContextCreate(CurrentMemoryContext, "canopy_summit batch", ALLOCSET_DEFAULT_SIZES);
	patience_set(PATIENCE);
	error = subtransaction_run(InvalidOid, batch_work, &batch, scratch);
	patience_set(PATIENCE_ROW);
	if (error == NULL)
		batch_succeeded(&batch);
	else if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	else
		batch_failed(&batch, error);
	MemoryContextDelete(scratch);
	return true;
}

/* End the tasks of which nothing is left. */
static void
tasks_end(Datum *whose)
{
	uint64 count = statement_run(&end_tasks, whose, NULL);
	SPITupleTable *ended = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		Record record = {.row = ended->vals[i], .descriptor = ended->tupdesc};
		Datum task_id = record_datum(&record);
		TaskKind *kind = task_kind_find(record_text(&record));

		if (record_boolean(&record) && kind->leaves_nothing)
			(void) statement_run(&delete_task, &task_id, NULL);
	}
}

/* When the next part may be worked on; DT_NOEND = there is none. */
static TimestampTz
tasks_next(Datum *whose, TimestampTz now)
{
	Record record;
	TimestampTz next;

	(void) statement_run(&find_next, whose, NULL);
	record = statement_record(0);
	next = record_time(&record);
	return record.isnull ? DT_NOEND : Max(next, TimestampTzPlusMilliseconds(now, LOOK_AGAIN));
}

/*
 * Do one batch of any task of this instance, and return when the next should be;
 * DT_NOEND = nothing is left.  Inside engine_begin().
 */
TimestampTz
task_run(TimestampTz now)
{
	Datum whose[2] = {Int64GetDatum(instance_current()), statement_texts(task_kinds_done_here())};

	if (batch_run(whose))
		return now;
	tasks_end(whose);
	return tasks_next(whose, now);
}

/* From _PG_init(). */
void
task_register(void)
{
	static Chore tasks = {.name = "working on tasks", .run = task_run, .at_scan = true};

	chore_register(&tasks);
}

/* One batch in a transaction of its own, with what a procedure lacks after a commit: a snapshot. */
static TimestampTz
procedure_turn(void)
{
	Engine engine;
	TimestampTz next;

	PushActiveSnapshot(GetTransactionSnapshot());
	engine_begin(&engine);
	next = task_run(GetCurrentTimestamp());
	engine_end(&engine);
	PopActiveSnapshot();
	SPI_commit();
	return next;
}

/* canopy_summit.run_tasks(), a procedure.  Error 25001: inside a transaction block. */
Datum
canopy_summit_run_tasks(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	TimestampTz next;

	if (call == NULL || !IsA(call, CallContext) || call->atomic)
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
						errmsg("run_tasks() cannot run inside a transaction block"),
						errhint("It commits after each batch: CALL it on its own.")));
	PreventCommandIfReadOnly("run_tasks()");
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	while ((next = procedure_turn()) != DT_NOEND)
	{
		while (GetCurrentTimestamp() < next)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, NAP,
							 PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		CHECK_FOR_INTERRUPTS();
	}
	(void) SPI_finish();
	PG_RETURN_VOID();
}
