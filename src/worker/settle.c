/*
 * settle.c
 *	  The end of an attempt: what it means for the job, written down in one
 *	  transaction with its effect.
 *
 * A conclusion is drawn once, outside any transaction; writing it may fail and
 * be repeated.  A batch that fails is written again one by one; what waits for a
 * lock is postponed (postpone.c), and what fails for a reason of its own is
 * quarantined: the job is failed, its answer kept.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "api/operation.h"
#include "credential/credential.h"
#include "http/transfer.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/retry.h"
#include "job/settlement.h"
#include "job/throttle.h"
#include "worker/job_effect.h"
#include "worker/flight.h"
#include "worker/settle.h"
#include "worker/worker.h"

#define REFUSAL_PAUSE \
	(30 * 1000)         /* ms until a job is sent again whose App's fresh token was refused */
#define SETTLE_TRIES 60 /* of one flight, seconds apart, that want of resources may cost */

/* A message that may be kept: without the detail, which may hold data. */
static const char *
quarantine_outcome(const ErrorData *error)
{
	return psprintf("its answer could not be stored: %s", error->message);
}

/* What a conflict means: its handler may know it as one with what was sent before. */
static RetryAction
conflict_action(Settlement *settlement)
{
	const JobHandler *handler = handler_find(settlement->job->operation);

	return handler->judge_conflict != NULL ? handler->judge_conflict(settlement) : RETRY_FAIL;
}

/* Queue the job again after a delay, or give up. */
static void
conclude_again(Flight *flight, RetryAction action, long retry_after)
{
	Settlement *settlement = &flight->settlement;
	const HttpResponse *response = settlement->response;
	bool may_have_effect = flight->job->operation->class == OPERATION_KEYED && response != NULL &&
						   response->outcome != HTTP_COMPLETE && response->was_sent;
	const JobHandler *handler = handler_find(flight->job->operation);
	int attempts;

	settlement->attempts = flight->job->attempts + (action == RETRY_AGAIN ? 1 : 0);
	settlement->state = JOB_QUEUED;
	if (settlement->attempts >= flight->job->max_attempts)
	{
		settlement->state = may_have_effect ? JOB_IN_DOUBT : JOB_FAILED;
		return;
	}
	attempts = Max(settlement->attempts, 1);
	settlement->run_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									handler->retry_delay
										? handler->retry_delay(settlement, attempts, retry_after)
										: retry_delay(attempts, retry_after));
	/* Without a token there is nothing to try before one is asked for again. */
	if (flight->sending.transfer == NULL)
		settlement->run_at = Max(settlement->run_at, flight->credential->token_not_before);
}

/* A refused credential: one new token, then all jobs of the credential wait. */
static void
conclude_credential(Worker *worker, Flight *flight)
{
	Settlement *settlement = &flight->settlement;
	Credential *credential = flight->credential;
	MemoryContext old;

	settlement->state = JOB_QUEUED;
	settlement->attempts = flight->job->attempts;
	settlement->run_at = GetCurrentTimestamp();
	if (flight->sending.transfer != NULL &&
		credential_needs_token(credential, flight->job->operation))
	{
		if (flight->token_number != credential->token_number || credential->token == NULL)
			return; /* another flight has already seen to it */
		credential_refuse_token(credential);
		if (credential->refusals++ == 0)
			return;
		/* Another worker may have had success with it since: that is no reason to hold up all jobs. */
		if (credential->connection != NULL && credential->connection->auth == AUTH_SCHEME_APP)
		{
			settlement->run_at = TimestampTzPlusMilliseconds(settlement->run_at, REFUSAL_PAUSE);
			return;
		}
	}
	flight->holds_credential = true;
	/* The claim of this very turn must know it already; the settle makes a scan read the holds. */
	old = MemoryContextSwitchTo(worker->context);
	flight->lane->held_owners = lappend_oid(flight->lane->held_owners, credential->owner_oid);
	MemoryContextSwitchTo(old);
}

/* Let the server's throttle know how the attempt ended. */
static void
conclude_throttle(Flight *flight)
{
	const HttpResponse *response =
		flight->redirect ? flight->redirect : flight->settlement.response;
	Throttle *throttle = &flight->lane->throttle;
	TimestampTz now = GetCurrentTimestamp();

	if (response == NULL)
	{
		throttle_give_back(throttle);
		return;
	}
	if (!retry_is_outage(response))
		throttle_success(throttle);
	else if ((flight->job->operation->flags & OPERATION_SCHEDULED) == 0)
		throttle_outage(throttle, now);
	if ((response->status == 429 || response->status == 503) && response->retry_after > 0)
		throttle_wait(throttle, now, response->retry_after);
}

/*
 * Draw the conclusion of a flight whose settlement has its outcome, in the
 * flight's memory context, and line it up to be settled.
 */
void
settle_conclude(Worker *worker, Flight *flight, RetryAction action)
{
	Settlement *settlement = &flight->settlement;
	bool was_open = flight->lane->throttle.is_open;
	MemoryContext old;

	conclude_throttle(flight);
	if (action == RETRY_CONFLICT)
		action = conflict_action(settlement);
	/* A probe of a server that is out is not the job's failure. */
	if (action == RETRY_AGAIN && was_open && settlement->response != NULL &&
		flight->redirect == NULL && retry_is_outage(settlement->response))
		action = RETRY_OUTAGE;
	settlement->started_at = flight->started_at;
	settlement->attempts = flight->job->attempts + 1;
	switch (action)
	{
		case RETRY_SUCCEED:
			settlement->state = JOB_SUCCEEDED;
			flight->credential->refusals = 0;
			break;
		case RETRY_AGAIN:
		case RETRY_OUTAGE:
			conclude_again(flight, action,
						   settlement->response ? settlement->response->retry_after : 0);
			break;
		case RETRY_CREDENTIAL:
			conclude_credential(worker, flight);
			break;
		case RETRY_IN_DOUBT:
			settlement->state = JOB_IN_DOUBT;
			break;
		case RETRY_CONFLICT: /* it has been judged */
		case RETRY_FAIL:
			settlement->state = JOB_FAILED;
			break;
	}
	worker->in_flight--;
	if (flight->is_inspected)
		worker->inspected--;
	else
		flight->lane->in_flight--;
	flight->lane->landed++;
	flight->bytes = flight_bytes(flight);
	worker->bytes += flight->bytes;
	old = MemoryContextSwitchTo(worker->context);
	worker->concluded = lappend(worker->concluded, flight);
	MemoryContextSwitchTo(old);
}

/*
 * Write conclusions down, with their effects, inside a transaction and engine_begin().  Returns
 * the settlements, for billable_count().
 */
List *
settle_batch(Worker *worker, List *flights)
{
	List *settlements = NIL;
	List *accepted = NIL;
	ListCell *cell;

	foreach(cell, flights)
	{
		Flight *flight = lfirst(cell);

		flight->settlement.accepted = false;
		if (flight->settlement.answer != NULL &&
			(flight->settlement.state == JOB_SUCCEEDED || flight->is_quarantined))
			effect_keep_answer(flight);
		settlements = lappend(settlements, &flight->settlement);
	}
	job_settle(settlements, worker->epoch);
	foreach(cell, flights)
		if (((Flight *) lfirst(cell))->settlement.accepted)
			accepted = lappend(accepted, lfirst(cell));
	effect_apply(accepted);
	return settlements;
}

/* Give up on the effect of a flight: its job fails, its answer is kept. */
void
settle_quarantine(Flight *flight, const ErrorData *error)
{
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	flight->settlement.state = JOB_FAILED;
	flight->settlement.code = "quarantined";
	flight->settlement.outcome = quarantine_outcome(error);
	flight->is_quarantined = true;
	MemoryContextSwitchTo(old);
}

/* Whether an error while settling may go away by itself: locks and conflicts always do. */
bool
settle_may_repeat(const Flight *flight, int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_QUERY_CANCELED ||
		   category == ERRCODE_TRANSACTION_ROLLBACK ||
		   (flight->tries < SETTLE_TRIES &&
			(category == ERRCODE_INSUFFICIENT_RESOURCES || category == ERRCODE_SYSTEM_ERROR));
}
