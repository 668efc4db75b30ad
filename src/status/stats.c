/*
 * stats.c
 *	  What the views for operating show of shared memory.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "job/job.h"
#include "process/shared.h"

#define STORING_LONG 2 /* s after which a transaction of the receiver is worth telling of */

PG_FUNCTION_INFO_V1(canopy_summit_workers);
PG_FUNCTION_INFO_V1(canopy_summit_receivers);
PG_FUNCTION_INFO_V1(canopy_summit_server_counters);

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
