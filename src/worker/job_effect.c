/*
 * job_effect.c
 *	  What an answer changes besides its job: its handler knows.
 *
 * Called by the worker in the transaction that settles the job, after the
 * settle has counted: an effect without its settle, or twice, cannot be.
 */
#include "postgres.h"

#include "nodes/pg_list.h"

#include "api/answer.h"
#include "api/operation.h"
#include "api/redact.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/reconcile.h"
#include "job/settlement.h"
#include "worker/job_effect.h"
#include "worker/flight.h"
#include "worker/hold.h"

/* Choose what of an answer is kept in canopy_summit.job_response: nothing of what the effect stores. */
void
effect_keep_answer(Flight *flight)
{
	const Operation *operation = flight->job->operation;
	const JobHandler *handler = handler_find(operation);
	Settlement *settlement = &flight->settlement;

	if ((handler->stores_answer || (handler->stores_answer_of_task && flight->job->task_id != 0)) &&
		!flight->is_quarantined)
		return;
	settlement->kept = answer_json(settlement->answer);
	if (operation->flags & OPERATION_SECRET)
		settlement->kept = redact_answer(settlement->kept);
}

/* Whether the handler of a flight's operation has to do with it: no quarantined one's, and few look-ups'. */
static bool
is_handled(const Flight *flight)
{
	return flight->job->operation != NULL && !flight->is_quarantined &&
		   (flight->job->reconciles == 0 || handler_find(flight->job->operation)->takes_lookups);
}

/* The settlements of an operation's flights that ended in this state. */
static List *
settlements_of(List *flights, const Operation *operation, JobState state)
{
	List *found = NIL;
	ListCell *cell;

	foreach(cell, flights)
	{
		Flight *flight = lfirst(cell);

		if (is_handled(flight) && flight->job->operation == operation &&
			flight->settlement.state == state)
			found = lappend(found, &flight->settlement);
	}
	return found;
}

/* The operations of flights, each once: a List of const Operation *. */
static List *
operations_of(List *flights)
{
	List *operations = NIL;
	ListCell *cell;

	foreach(cell, flights)
	{
		Flight *flight = lfirst(cell);

		if (is_handled(flight))
			operations =
				list_append_unique_ptr(operations, unconstify(Operation *, flight->job->operation));
	}
	return operations;
}

/* Apply what settled flights, a List of Flight *, change besides their jobs. */
void
effect_apply(List *flights)
{
	ListCell *cell;

	foreach(cell, flights)
	{
		Flight *flight = lfirst(cell);

		if (flight->holds_credential)
			hold_write(flight);
		if (flight->job->reconciles != 0 && flight->settlement.state == JOB_SUCCEEDED)
			reconcile_conclude(flight->job, flight->settlement.answer->json);
	}
	foreach(cell, operations_of(flights))
	{
		const JobHandler *handler = handler_find(lfirst(cell));
		List *succeeded = settlements_of(flights, lfirst(cell), JOB_SUCCEEDED);
		List *failed = settlements_of(flights, lfirst(cell), JOB_FAILED);
		List *doubted = settlements_of(flights, lfirst(cell), JOB_IN_DOUBT);

		if (succeeded != NIL && handler->succeeded != NULL)
			handler->succeeded(succeeded);
		if (failed != NIL && handler->failed != NULL)
			handler->failed(failed);
		if (doubted != NIL && handler->doubted != NULL)
			handler->doubted(doubted);
	}
}
