/*
 * operate.c
 *	  What the functions and views for operating need from C: shared memory, and
 *	  waiting with fresh snapshots.
 */
#include "shared.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "job.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#define WAIT_FIRST   2   /* ms between looks, doubled up to WAIT_LONGEST */
#define WAIT_LONGEST 200 /* ms */

PG_FUNCTION_INFO_V1(canopy_summit_wake);
PG_FUNCTION_INFO_V1(canopy_summit_workers);
PG_FUNCTION_INFO_V1(canopy_summit_server_counters);
PG_FUNCTION_INFO_V1(canopy_summit_wait_for_job);

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
		Datum values[9];
		bool nulls[9] = {0};

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
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * The state of a job as of now, whatever the transaction's snapshot.  Errors:
 * P0002 there is no such job, 55000 this very transaction has enqueued it.
 */
static Datum
job_state_now(int64 job_id, bool *is_open)
{
	static SPIPlanPtr plan = NULL;
	Datum argument = Int64GetDatum(job_id);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Engine engine;
	Datum state;
	bool isnull;

	engine_begin(&engine);
	if (plan == NULL)
	{
		plan = SPI_prepare("SELECT state, state IN ('queued', 'running'), xmin"
						   " FROM canopy_summit.job WHERE job_id = $1",
						   1, (Oid[]){INT8OID});
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare a statement");
	}
	if (SPI_execute_snapshot(plan, &argument, NULL, snapshot, InvalidSnapshot, true, false, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read canopy_summit.job");
	if (SPI_processed == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("job %lld does not exist", (long long) job_id)));
	state = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	*is_open =
		DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	if (*is_open && TransactionIdIsCurrentTransactionId(DatumGetTransactionId(
						SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull))))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job %lld was enqueued by this transaction and is sent after its end",
						(long long) job_id),
				 errhint("COMMIT before you wait for it.")));
	engine_end(&engine);
	UnregisterSnapshot(snapshot);
	return state;
}

/* canopy_summit.wait_for_job(job_id bigint, timeout interval) -> job_state */
Datum
canopy_summit_wait_for_job(PG_FUNCTION_ARGS)
{
	int64 job_id = PG_GETARG_INT64(0);
	TimestampTz until = DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
							PG_GETARG_DATUM(1)));
	long pause = WAIT_FIRST;

	for (;;)
	{
		bool is_open;
		Datum state = job_state_now(job_id, &is_open);

		if (!is_open || GetCurrentTimestamp() >= until)
			return state;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = Min(2 * pause, WAIT_LONGEST);
	}
}
