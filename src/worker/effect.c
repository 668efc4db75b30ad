/*
 * effect.c
 *	  What an answer changes besides its job, by operation.
 *
 * Called by the worker in the transaction that settles the job, after the
 * settle has counted: an effect without its settle, or twice, cannot be.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"

#include "base/confidential.h"
#include "worker/effect.h"
#include "worker/flight.h"
#include "worker/hold.h"
#include "job/job.h"
#include "base/json.h"
#include "api/operation.h"
#include "pull/pull.h"
#include "job/reconcile.h"
#include "api/redact.h"
#include "summit/upload_effect.h"

/* Store a fetched pull. */
static void
fetch_store(const Flight *flight)
{
	const Job *job = flight->job;
	PullSource source = {.server = job->server,
						 .environment = flight->environment,
						 .stored_by = job->owner,
						 .expected_pull_id = json_text_field(job->params, "pullId"),
						 .fetched_at = flight->answer->started_at,
						 .replaced = flight->answer->replaced,
						 .received = flight->answer->received,
						 .received_len = flight->answer->received_len};

	(void) pull_store(flight->answer->json, &source);
}

/* Store fetched pulls. */
static void
effect_fetch(List *flights)
{
	ListCell *cell;

	foreach(cell, flights)
		fetch_store(lfirst(cell));
}

/* Operations whose ends are more than answers. */
static const struct
{
	const char *operation;
	void (*succeeded)(List *flights);
	void (*failed)(List *flights); /* NULL = nothing */
} effects[] = {
	{"get-pull-by-id", effect_fetch, NULL},
	{"upload-policy", upload_accepted, upload_ended},
	{"get-job", upload_polled, upload_polled},
};

/* Choose what of an answer is kept in canopy_summit.job_response; a pull is stored as a version instead. */
void
effect_keep_answer(Flight *flight)
{
	const Operation *operation = flight->job->operation;

	if (strcmp(operation->name, "get-pull-by-id") == 0 && !flight->is_quarantined)
		return;
	flight->settlement.answer = operation->flags & OPERATION_SECRET
									? redact_answer(flight->answer->json)
									: flight->answer->json;
}

/* The flights of an operation that ended in this state. */
static List *
flights_of(List *flights, const char *operation, JobState state)
{
	List *found = NIL;
	ListCell *cell;

	foreach(cell, flights)
	{
		Flight *flight = lfirst(cell);

		if (flight->job->operation != NULL && flight->job->reconciles == 0 &&
			!flight->is_quarantined && flight->settlement.state == state &&
			strcmp(flight->job->operation->name, operation) == 0)
			found = lappend(found, flight);
	}
	return found;
}

/* Apply what settled flights, a List of Flight *, change besides their jobs. */
void
effect_apply(List *flights)
{
	List *found;
	ListCell *cell;

	foreach(cell, flights)
	{
		Flight *flight = lfirst(cell);

		if (flight->holds_credential)
			hold_write(flight);
		if (flight->job->reconciles != 0 && flight->settlement.state == JOB_SUCCEEDED)
			reconcile_conclude(flight->job, flight->answer->json);
	}
	for (int i = 0; i < lengthof(effects); i++)
	{
		found = flights_of(flights, effects[i].operation, JOB_SUCCEEDED);
		if (found != NIL)
			effects[i].succeeded(found);
		found = flights_of(flights, effects[i].operation, JOB_FAILED);
		if (found != NIL && effects[i].failed != NULL)
			effects[i].failed(found);
	}
}
