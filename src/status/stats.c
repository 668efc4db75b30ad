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

#include "engine/statement.h"
#include "engine/values.h"
#include "http/clamd.h"
#include "job/job.h"
#include "process/shared.h"
#include "status/stats.h"

#define STORING_LONG 2 /* s after which a transaction of the receiver is worth telling of */

PG_FUNCTION_INFO_V1(canopy_summit_workers);
PG_FUNCTION_INFO_V1(canopy_summit_receivers);
PG_FUNCTION_INFO_V1(canopy_summit_scan_problem);
PG_FUNCTION_INFO_V1(canopy_summit_server_counters);

/* canopy_summit.workers() -> setof record: the rows of view canopy_summit.worker_status */
Datum
canopy_summit_workers(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;
	for (int i = 0; i < SHARED_MAX_WORKERS; i++)
	{
		WorkerSlot worker;
		Values values = {0};

		LWLockAcquire(shared->lock, LW_SHARED);
		worker = shared->workers[i];
		LWLockRelease(shared->lock);
		if (worker.database != MyDatabaseId || worker.procno < 0)
			continue;
		values_add_int32(&values, worker.pid);
		values_add_int64(&values, worker.epoch);
		values_add_time(&values, worker.started_at);
		values_add_int32(&values, worker.in_flight);
		values_add_int64(&values, worker.sent);
		values_add_int64(&values, worker.settled);
		values_put_row(&values, fcinfo);
	}
	return (Datum) 0;
}

/* Why the receiver answers 503, or nothing at all; NULL = it answers. */
const char *
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
	ReceiverSlot receiver;
	Values values = {0};

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	receiver = shared->receiver;
	LWLockRelease(shared->lock);
	if (receiver.pid == 0 || receiver.database != MyDatabaseId)
		return (Datum) 0;
	values_add_int32(&values, receiver.pid);
	values_add_time(&values, receiver.started_at);
	values_add_int64(&values, receiver.stored);
	values_add_text(&values, receiver_problem(&receiver));
	values_put_row(&values, fcinfo);
	return (Datum) 0;
}

/* canopy_summit.scan_problem() -> text */
Datum
canopy_summit_scan_problem(PG_FUNCTION_ARGS)
{
	const char *problem = clamd_problem();
	char last[sizeof(shared->scan_problem)] = "";

	if (!clamd_is_set())
		PG_RETURN_NULL();
	if (problem == NULL && shared != NULL)
	{
		LWLockAcquire(shared->lock, LW_SHARED);
		strlcpy(last, shared->scan_problem, sizeof(last));
		LWLockRelease(shared->lock);
		problem = last;
	}
	if (problem == NULL || *problem == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/* Add a moment that is kept as Unix time; 0 is NULL. */
static void
add_unix_time(Values *values, int64 time)
{
	values_add_unless(values, time == 0, TimestampTzGetDatum(time_t_to_timestamptz(time)));
}

/* canopy_summit.server_counters() -> setof record */
Datum
canopy_summit_server_counters(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;
	for (int i = 0; i < SHARED_MAX_SERVERS; i++)
	{
		ServerCounters counters;
		Datum latency[SHARED_LATENCIES];
		const char *operation = NameStr(counters.deprecated_operation);
		Values values = {0};

		LWLockAcquire(shared->lock, LW_SHARED);
		counters = shared->servers[i];
		LWLockRelease(shared->lock);
		if (counters.database != MyDatabaseId)
			continue;
		for (int k = 0; k < SHARED_LATENCIES; k++)
			latency[k] = Int64GetDatum(counters.latency[k]);
		values_add_text(&values, NameStr(counters.server));
		values_add_time(&values, counters.since);
		values_add_int64(&values, counters.sent);
		values_add_int64(&values, counters.ended[JOB_SUCCEEDED]);
		values_add_int64(&values, counters.ended[JOB_QUEUED]);
		values_add_int64(&values, counters.ended[JOB_FAILED]);
		values_add_int64(&values, counters.ended[JOB_IN_DOUBT]);
		values_add_unless(&values, counters.breaker_until == DT_NOBEGIN,
						  TimestampTzGetDatum(counters.breaker_until));
		values_add(&values, statement_array(latency, NULL, SHARED_LATENCIES, INT8OID));
		values_add_int64(&values, counters.refused_webhooks);
		values_add_text(&values,
						counters.webhook_problem[0] != '\0' ? counters.webhook_problem : NULL);
		values_add_int64(&values, counters.encoded_webhooks);
		add_unix_time(&values, counters.deprecated_at);
		add_unix_time(&values, counters.sunset_at);
		values_add_text(&values, *operation != '\0' ? operation : NULL);
		values_put_row(&values, fcinfo);
	}
	return (Datum) 0;
}
