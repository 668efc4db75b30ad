/*
 * drain.c
 *	  The transaction of a turn: settle, claim, and what is sent after it.
 *
 * Settling what has ended and claiming what there is room for share one short
 * transaction, so that a turn costs one commit.  If it fails, every flight is
 * settled apart from the others (postpone.c).
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "engine/transaction.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/settlement.h"
#include "process/shared.h"
#include "worker/claim.h"
#include "worker/drain.h"
#include "worker/flight.h"
#include "worker/lane.h"
#include "worker/postpone.h"
#include "worker/scan.h"
#include "worker/settle.h"
#include "worker/worker.h"

#define WORK_PAUSE 1000 /* ms before claims that failed are tried again */
#define STORED_MOST \
	16 /* answers that one transaction stores: others wait for it, and for what it claims */

/*
 * Note what the response to a flight says of its operation: that it is deprecated or ends, or
 * that it is not any more.  The latter counts of an answer only: who makes an error, such as a
 * proxy, need not know.  The caller holds the lock.
 */
static void
flight_note_deprecation(ServerCounters *counters, const Flight *flight)
{
	const HttpResponse *response =
		flight->redirect ? flight->redirect : flight->settlement.response;
	const char *operation = flight->job->operation->name;
	bool is_answer = flight->redirect != NULL || flight->settlement.answer != NULL;
	bool is_deprecated = response->deprecated_at != 0 || response->sunset_at != 0;

	if (response->outcome != HTTP_COMPLETE)
		return;
	if (!is_deprecated &&
		(!is_answer || strcmp(NameStr(counters->deprecated_operation), operation) != 0))
		return;
	namestrcpy(&counters->deprecated_operation, is_deprecated ? operation : "");
	counters->deprecated_at = response->deprecated_at;
	counters->sunset_at = response->sunset_at;
}

/* Count what came of a flight. */
static void
flight_count(Worker *worker, const Flight *flight)
{
	const Settlement *settlement = &flight->settlement;
	ServerCounters *counters;
	int bucket = 0;

	if (settlement->response != NULL)
		while (bucket < SHARED_LATENCIES - 1 &&
			   settlement->response->times.total > (INT64CONST(1000) << bucket))
			bucket++;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->workers[worker->slot].settled++;
	counters = shared_server(flight->job->server);
	if (counters != NULL)
	{
		counters->ended[settlement->state]++;
		counters->breaker_until =
			flight->lane->throttle.is_open ? flight->lane->throttle.not_before : DT_NOBEGIN;
		if (settlement->response != NULL)
		{
			counters->sent++;
			counters->latency[bucket]++;
			flight_note_deprecation(counters, flight);
		}
	}
	LWLockRelease(shared->lock);
}

/* Free settled flights; what they held up may be claimed now. */
void
flights_free(Worker *worker, List *flights)
{
	ListCell *cell;

	foreach(cell, flights)
	{
		Flight *flight = lfirst(cell);
		Settlement *settlement = &flight->settlement;

		if (settlement->state == JOB_QUEUED)
		{
			if (settlement->run_at <= GetCurrentTimestamp())
				lanes_rescan(worker, settlement->run_at);
			else
				worker->next_due = Min(worker->next_due, settlement->run_at);
		}
		/* A look-up may have ended the doubt that held an ordering key. */
		if (flight->job->has_ordering_key || flight->job->reconciles != 0)
			lanes_rescan(worker, DT_NOBEGIN);
		if (settlement->state == JOB_IN_DOUBT || flight->holds_credential)
			worker->scan_wanted = true;
		flight_count(worker, flight);
		worker->bytes -= job_bytes(flight->job) + flight->bytes;
		MemoryContextDelete(flight->context);
	}
	list_free(flights);
}

/*
 * Take the flights that the next transaction is to settle: all but those that store
 * more than it should.  What goes by is often a page whose next one is waited for.
 */
static pg_noinline List *
concluded_take(Worker *worker)
{
	List *taken = NIL;
	List *left = NIL;
	int stored = 0;
	ListCell *cell;
	MemoryContext old = MemoryContextSwitchTo(worker->context);

	foreach(cell, worker->concluded)
	{
		Flight *flight = lfirst(cell);
		bool stores = flight->settlement.answer != NULL &&
					  handler_find(flight->job->operation)->stores_answer;

		if (stores && ++stored > STORED_MOST)
			left = lappend(left, flight);
		else
		{
			taken = lappend(taken, flight);
			flight->lane->landed--;
		}
	}
	list_free(worker->concluded);
	worker->concluded = left;
	MemoryContextSwitchTo(old);
	return taken;
}

/* Settle what has ended, without waiting long for anybody; returns the settlements. */
static List *
worker_settle(Worker *worker, List *flights)
{
	List *settlements;

	if (flights == NIL)
		return NIL;
	lock_patience(PATIENCE_BATCH);
	settlements = settle_batch(worker, flights);
	lock_patience(PATIENCE_USUAL);
	return settlements;
}

/* Settle and claim in one transaction, then send. */
void
worker_work(Worker *worker, TimestampTz now)
{
	List *const settled = concluded_take(worker);
	List *volatile claims = NIL;
	List *volatile settlements = NIL;
	ErrorData *volatile error = NULL;
	volatile bool is_settling = true;

	/* From here on: what changes after the transaction's snapshot it does not see, whenever it hears of it. */
	worker->scan_wanted |= worker->catalogs_changed;
	worker->catalogs_changed = false;
	PG_TRY();
	{
		work_begin("settling jobs");
		settlements = worker_settle(worker, settled);
		is_settling = false;
		pgstat_report_activity(STATE_RUNNING, "claiming jobs");
		if (worker->scan_wanted || worker->catalogs_changed || worker->scan_at <= now ||
			worker->next_lease <= now)
			worker_scan(worker, now);
		claims = worker_claim(worker, settlements, now);
		work_commit();
	}
	PG_CATCH();
	{
		error = work_abort(worker->turn);
	}
	PG_END_TRY();
	if (error == NULL)
	{
		flights_free(worker, settled);
		claims_send(worker, claims);
		return;
	}
	/* With nothing to settle and nothing on the wire there is nothing to lose: start anew, later. */
	if (settled == NIL && worker->postponed == NIL && worker->in_flight == 0)
		ThrowErrorData(error);
	if (settled != NIL)
	{
		settle_each(worker, settled);
		list_free(settled);
		if (is_settling)
			return; /* claims come in the next turn */
	}
	ereport(LOG, (errmsg("could not claim jobs: %s", error->message)));
	worker->scan_wanted = true;
	worker->work_at = TimestampTzPlusMilliseconds(now, WORK_PAUSE);
}

/* Whether a transaction would find something to do. */
bool
worker_has_work(Worker *worker, TimestampTz now)
{
	ListCell *cell;

	if (worker->work_at > now)
		return false;
	if (worker->concluded != NIL || worker->scan_wanted || worker->catalogs_changed ||
		worker->scan_at <= now || worker->next_due <= now || worker->next_lease <= now)
		return true;
	foreach(cell, worker->lanes)
		if (lane_room(worker, lfirst(cell), now, (Load){0}) > 0)
			return !worker->is_leaving;
	return false;
}
