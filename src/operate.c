/*
 * operate.c
 *	  What the functions and views for operating need from C: shared memory, and
 *	  waiting with fresh snapshots.
 */
#include "shared.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "job.h"
#include "miscadmin.h"
#include "statement.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#define WAIT_FIRST   2   /* ms between looks, doubled up to WAIT_LONGEST */
#define WAIT_LONGEST 200 /* ms */
#define STORING_LONG 2   /* s after which a transaction of the receiver is worth telling of */

PG_FUNCTION_INFO_V1(canopy_summit_wake);
PG_FUNCTION_INFO_V1(canopy_summit_workers);
PG_FUNCTION_INFO_V1(canopy_summit_receivers);
PG_FUNCTION_INFO_V1(canopy_summit_server_counters);
PG_FUNCTION_INFO_V1(canopy_summit_wait_for_job);
PG_FUNCTION_INFO_V1(canopy_summit_wait_for_upload);

/* canopy_summit.wake() */
Datum
canopy_summit_wake(PG_FUNCTION_ARGS)
{
	wake_at_commit(DT_NOBEGIN);
	PG_RETURN_VOID();
}

/* canopy_summit.workers() -> setof record: the rows of view canopy_summit.worker_status */
Datum
canopy_summit_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;
	for (int i = 0; i < SHARED_MAX_WORKERS; i++)
	{
		WorkerSlot worker;
		Datum values[6];
		bool nulls[6] = {0};

		LWLockAcquire(shared->lock, LW_SHARED);
		worker = shared->workers[i];
		LWLockRelease(shared->lock);
		if (worker.database != MyDatabaseId || worker.procno < 0)
			continue;
		values[0] = Int32GetDatum(worker.pid);
		values[1] = Int64GetDatum(worker.epoch);
		values[2] = TimestampTzGetDatum(worker.started_at);
		values[3] = Int32GetDatum(worker.in_flight);
		values[4] = Int64GetDatum(worker.sent);
		values[5] = Int64GetDatum(worker.settled);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Why the receiver answers 503, or nothing at all; NULL = it answers. */
static const char *
receiver_problem(const ReceiverSlot *receiver)
{
	TimestampTz since = receiver->storing_since;
	int64 seconds = (GetCurrentTimestamp() - since) / USECS_PER_SEC;

	if (since != 0 && seconds >= STORING_LONG)
		return psprintf("what came last is not stored since %lld s: pg_stat_activity shows what "
						"it waits for, such as a standby",
						(long long) seconds);
	return receiver->problem[0] != '\0' ? receiver->problem : NULL;
}

/* canopy_summit.receivers() -> setof record: the row of view canopy_summit.receiver_status */
Datum
canopy_summit_receivers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ReceiverSlot receiver;
	Datum values[4];
	bool nulls[4] = {0};
	const char *problem;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	receiver = shared->receiver;
	LWLockRelease(shared->lock);
	if (receiver.pid == 0 || receiver.database != MyDatabaseId)
		return (Datum) 0;
	values[0] = Int32GetDatum(receiver.pid);
	values[1] = TimestampTzGetDatum(receiver.started_at);
	values[2] = Int64GetDatum(receiver.stored);
	problem = receiver_problem(&receiver);
	nulls[3] = problem == NULL;
	values[3] = problem ? CStringGetTextDatum(problem) : (Datum) 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}

/* canopy_summit.server_counters() -> setof record */
Datum
canopy_summit_server_counters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;
	for (int i = 0; i < SHARED_MAX_SERVERS; i++)
	{
		ServerCounters counters;
		Datum latency[SHARED_LATENCIES];
		Datum values[12];
		bool nulls[12] = {0};

		LWLockAcquire(shared->lock, LW_SHARED);
		counters = shared->servers[i];
		LWLockRelease(shared->lock);
		if (counters.database != MyDatabaseId)
			continue;
		for (int k = 0; k < SHARED_LATENCIES; k++)
			latency[k] = Int64GetDatum(counters.latency[k]);
		values[0] = CStringGetTextDatum(NameStr(counters.server));
		values[1] = TimestampTzGetDatum(counters.since);
		values[2] = Int64GetDatum(counters.sent);
		values[3] = Int64GetDatum(counters.ended[JOB_SUCCEEDED]);
		values[4] = Int64GetDatum(counters.ended[JOB_QUEUED]);
		values[5] = Int64GetDatum(counters.ended[JOB_FAILED]);
		values[6] = Int64GetDatum(counters.ended[JOB_IN_DOUBT]);
		nulls[7] = counters.breaker_until == DT_NOBEGIN;
		values[7] = TimestampTzGetDatum(counters.breaker_until);
		values[8] =
			PointerGetDatum(construct_array(latency, SHARED_LATENCIES, INT8OID, sizeof(int64),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		values[9] = Int64GetDatum(counters.refused_webhooks);
		nulls[10] = counters.webhook_problem[0] == '\0';
		values[10] = CStringGetTextDatum(counters.webhook_problem);
		values[11] = Int64GetDatum(counters.encoded_webhooks);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Something that one can wait for the end of. */
typedef struct Waited
{
	const char *noun;
	Statement select; /* of its id: state, whether that is none to end with, xmin */
} Waited;

static Waited waited_job = {
	"job",
	{1,
	 {INT8OID},
	 "SELECT state::text, state IN ('queued', 'running'), xmin"
	 " FROM canopy_summit.job WHERE job_id = $1"},
};
static Waited waited_upload = {
	"upload",
	{1,
	 {INT8OID},
	 "SELECT s.status, s.status IN ('queued', 'sending', 'accepted'), u.xmin"
	 " FROM summit.upload_status s JOIN summit.upload u USING (upload_id) WHERE u.upload_id = $1"},
};

/*
 * The state as of now, whatever the transaction's snapshot, in the current
 * memory context.  Errors: P0002 there is no such thing, 55000 this very
 * transaction has made it.
 */
static char *
state_now(Waited *waited, int64 id, bool *is_open)
{
	MemoryContext context = CurrentMemoryContext;
	Datum argument = Int64GetDatum(id);
	Engine engine;
	HeapTuple row;
	char *state;
	bool isnull;

	engine_begin(&engine);
	if (statement_run_now(&waited->select, &argument, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("%s %lld does not exist", waited->noun, (long long) id)));
	row = SPI_tuptable->vals[0];
	state = MemoryContextStrdup(context, SPI_getvalue(row, SPI_tuptable->tupdesc, 1));
	*is_open = DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	if (*is_open && TransactionIdIsCurrentTransactionId(DatumGetTransactionId(
						SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull))))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s %lld was made by this transaction and is sent after its end",
							   waited->noun, (long long) id),
						errhint("COMMIT before you wait for it.")));
	engine_end(&engine);
	return state;
}

/* Wait for the end, at most so long; returns the state then. */
static char *
wait_for_end(Waited *waited, int64 id, Datum timeout)
{
	TimestampTz until = DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
							timeout));
	long pause = WAIT_FIRST;

	for (;;)
	{
		bool is_open;
		char *state = state_now(waited, id, &is_open);

		if (!is_open || GetCurrentTimestamp() >= until)
			return state;
		pfree(state);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = Min(2 * pause, WAIT_LONGEST);
	}
}

/* canopy_summit.wait_for_job(job_id bigint, timeout interval) -> text */
Datum
canopy_summit_wait_for_job(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(
		cstring_to_text(wait_for_end(&waited_job, PG_GETARG_INT64(0), PG_GETARG_DATUM(1))));
}

/* summit_wait_for_upload(upload_id bigint, timeout interval) -> text */
Datum
canopy_summit_wait_for_upload(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(
		cstring_to_text(wait_for_end(&waited_upload, PG_GETARG_INT64(0), PG_GETARG_DATUM(1))));
}
