/*
 * postpone.c
 *	  Answers that cannot be settled yet, because somebody has locked what they
 *	  change.
 *
 * A lock never costs an answer, and whoever waits for one holds up nobody: the
 * worker waits a moment only, keeps the answer, and goes on with the others.
 * The claim stays its own meanwhile, however long: it is alive, and tells so
 * (shared_worker_turns()).  What one role has waiting of one operation is
 * bounded; beyond that no more such jobs of it are claimed.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "api/operation.h"
#include "base/backoff.h"
#include "engine/subtransaction.h"
#include "engine/transaction.h"
#include "http/transfer.h"
#include "job/billable.h"
#include "job/job.h"
#include "job/settlement.h"
#include "worker/drain.h"
#include "worker/flight.h"
#include "worker/lane.h"
#include "worker/postpone.h"
#include "worker/settle.h"
#include "worker/worker.h"

#define POSTPONE_FIRST   250  /* ms until an answer is tried again, doubled each time */
#define POSTPONE_LONGEST 4000 /* ms */
#define POSTPONED_A_TURN 16   /* are tried before others get a turn */
#define POSTPONED_MAX    64   /* of one role, server and operation */
#define POSTPONED_BYTES  (32 * 1024 * 1024) /* likewise, of answers */
#define GIVE_BACK_PAUSE  (10 * 1000) /* ms until a job is sent again whose answer was given up */

/* What is to be settled, of one worker. */
typedef struct Single
{
	Worker *worker;
	Flight *flight;
} Single;

static void
settle_single(void *argument)
{
	Single *single = argument;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	(void) billable_count(NIL, settle_batch(single->worker, list_make1(single->flight)));
	SPI_finish();
}

/*
 * Settle one of several, so that an error costs the others nothing; one that fails for a
 * reason of its own is quarantined.  False if it has to be tried again.
 */
static bool
settle_or_quarantine(Worker *worker, Flight *flight)
{
	Single single = {worker, flight};
	ErrorData *error = subtransaction_run(InvalidOid, settle_single, &single, worker->turn);

	if (error == NULL)
		return true;
	if (flight->tries++ == 0)
		ereport(LOG, (errmsg("could not settle job %lld yet: %s", (long long) flight->job->job_id,
							 error->message)));
	if (settle_may_repeat(flight, error->sqlerrcode))
		return false;
	if (flight->is_quarantined)
		ThrowErrorData(error);
	settle_quarantine(flight, error);
	return settle_or_quarantine(worker, flight);
}

/* Keep a flight that could not be settled, and try again later. */
static void
postpone(Worker *worker, Flight *flight)
{
	MemoryContext old = MemoryContextSwitchTo(worker->context);

	flight->settle_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									backoff_delay(POSTPONE_FIRST, POSTPONE_LONGEST, flight->tries));
	if (flight->job->body != NULL)
	{
		/* It has been sent; others may need the room. */
		worker->bytes -= VARSIZE(flight->job->body);
		pfree(flight->job->body);
		flight->job->body = NULL;
	}
	worker->bytes -= flight->bytes;
	flight->bytes = 0;
	worker->postponed = lappend(worker->postponed, flight);
	worker->settle_at = Min(worker->settle_at, flight->settle_at);
	MemoryContextSwitchTo(old);
}

/*
 * Settle flights in one transaction, but each apart from the others.  Those that
 * have to wait are postponed.
 */
void
settle_each(Worker *worker, List *flights)
{
	List *volatile settled = NIL;
	ListCell *cell;

	PG_TRY();
	{
		work_begin("settling jobs one by one");
		lock_patience(PATIENCE_SHORT);
		foreach(cell, flights)
			if (settle_or_quarantine(worker, lfirst(cell)))
			{
				MemoryContext old = MemoryContextSwitchTo(worker->turn);

				settled = lappend(settled, lfirst(cell));
				MemoryContextSwitchTo(old);
			}
		work_commit();
	}
	PG_CATCH();
	{
		ErrorData *error = work_abort(worker->turn);

		foreach(cell, flights)
			if (((Flight *) lfirst(cell))->is_quarantined)
				ThrowErrorData(error);
		ereport(LOG, (errmsg("could not settle jobs: %s", error->message)));
		settled = NIL;
	}
	PG_END_TRY();
	lock_patience(PATIENCE_USUAL);
	foreach(cell, flights)
		if (!list_member_ptr(settled, lfirst(cell)))
			postpone(worker, lfirst(cell));
	flights_free(worker, settled);
}

/* Take those out of what is postponed that are due, but not too many at once; when the next ones are is noted. */
static List *
postponed_take(Worker *worker, TimestampTz now)
{
	List *due = NIL;
	ListCell *cell;

	worker->settle_at = DT_NOEND;
	foreach(cell, worker->postponed)
	{
		Flight *flight = lfirst(cell);

		if (flight->settle_at <= now && list_length(due) < POSTPONED_A_TURN)
		{
			due = lappend(due, flight);
			worker->postponed = foreach_delete_current(worker->postponed, cell);
		}
		else
			worker->settle_at = Min(worker->settle_at, flight->settle_at);
	}
	return due;
}

/* Try again to settle what is postponed and due. */
void
postponed_settle(Worker *worker, TimestampTz now)
{
	settle_each(worker, postponed_take(worker, now));
	if (worker->postponed_full)
		lanes_rescan(worker, DT_NOBEGIN);
	worker->postponed_full = false;
}

/* What a role has waiting of one operation. */
typedef struct Waiting
{
	const char *name; /* "operation role" */
	int flights;
	int64 bytes;
} Waiting;

static Waiting *
waiting_find(List **all, const char *name)
{
	Waiting *waiting;
	ListCell *cell;

	foreach(cell, *all)
		if (strcmp(((Waiting *) lfirst(cell))->name, name) == 0)
			return lfirst(cell);
	waiting = palloc0(sizeof(Waiting));
	waiting->name = name;
	*all = lappend(*all, waiting);
	return waiting;
}

/*
 * Of which operations and roles a lane must claim nothing now, since too many of
 * their answers wait already: a List of "operation role", in the current context.
 */
List *
postponed_excess(Worker *worker, const Lane *lane)
{
	List *all = NIL;
	List *excess = NIL;
	ListCell *cell;

	foreach(cell, worker->postponed)
	{
		Flight *flight = lfirst(cell);
		Waiting *waiting;

		if (flight->lane != lane || flight->job->operation == NULL)
			continue;
		waiting = waiting_find(&all, psprintf("%s %u", flight->job->operation->name,
											  flight->job->owner_oid));
		waiting->flights++;
		waiting->bytes += flight_bytes(flight);
	}
	foreach(cell, all)
	{
		Waiting *waiting = lfirst(cell);

		if (waiting->flights >= POSTPONED_MAX || waiting->bytes >= POSTPONED_BYTES)
			excess = lappend(excess, unconstify(char *, waiting->name));
	}
	worker->postponed_full |= excess != NIL;
	return excess;
}

/* Whether a job may be sent once more, now that its answer is given up. */
static bool
may_give_back(const Job *job)
{
	return job->operation == NULL || operation_may_repeat(job->operation);
}

/*
 * Another database waits for this worker's place, and nothing is left but what
 * is postponed: queue those jobs again that may be repeated.  True if none is left.
 */
bool
postponed_give_back(Worker *worker)
{
	List *flights = NIL;
	ListCell *cell;

	foreach(cell, worker->postponed)
	{
		Flight *flight = lfirst(cell);
		Settlement *settlement = &flight->settlement;

		if (!may_give_back(flight->job))
			continue;
		settlement->state = JOB_QUEUED;
		settlement->run_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), GIVE_BACK_PAUSE);
		settlement->attempts = flight->job->attempts;
		settlement->code = "locked";
		settlement->outcome = "its answer waited for a lock when the worker had to leave";
		settlement->kept = NULL;
		flight->is_quarantined = false;
		flights = lappend(flights, flight);
		worker->postponed = foreach_delete_current(worker->postponed, cell);
	}
	if (flights != NIL)
		settle_each(worker, flights);
	return worker->postponed == NIL;
}
