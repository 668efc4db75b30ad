/*
 * flight.c
 *	  A claimed job on its way: request, transfer, response.
 *
 * Nothing here runs inside a transaction.  A job that cannot be sent is
 * concluded at once; one that needs an access token waits for it.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "api/failure.h"
#include "api/operation.h"
#include "api/request.h"
#include "credential/credential.h"
#include "credential/token.h"
#include "http/loop.h"
#include "http/transfer.h"
#include "job/job.h"
#include "job/retry.h"
#include "job/settlement.h"
#include "server/connection.h"
#include "worker/flight.h"
#include "worker/lane.h"
#include "worker/settle.h"
#include "worker/worker.h"

#define TOKEN_PAUSE         (5 * 1000) /* ms after a request for a token that failed, doubled each time */
#define TOKEN_LONGEST_PAUSE (5 * 60 * 1000)

/* A flight for a claimed job, in the job's memory context; the credential has been read. */
Flight *
flight_create(Worker *worker, Lane *lane, Job *job)
{
	MemoryContext context = GetMemoryChunkContext(job);
	Flight *flight = MemoryContextAllocZero(context, sizeof(Flight));

	flight->job = job;
	flight->context = context;
	flight->lane = lane;
	flight->settlement.job = job;
	flight->credential = credential_find(job->server_oid, job->owner_oid, job->server, job->owner);
	job->owner = MemoryContextStrdup(context, flight->credential->owner);
	flight->started_at = GetCurrentTimestamp();
	flight->settlement.environment =
		flight->credential->connection
			? MemoryContextStrdup(context, flight->credential->connection->environment)
			: NULL;
	worker->in_flight++;
	worker->bytes += job_bytes(job);
	lane->in_flight++;
	return flight;
}

/* Conclude a flight that was not sent. */
static void
flight_refuse(Worker *worker, Flight *flight, RetryAction action, const char *code,
			  const char *outcome)
{
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	flight->settlement.code = code;
	flight->settlement.outcome = pstrdup(outcome);
	settle_conclude(worker, flight, action);
	MemoryContextSwitchTo(old);
}

/* Refuse what must not be sent any more; true if it was. */
static bool
flight_is_refused(Worker *worker, Flight *flight)
{
	const Job *job = flight->job;
	const Credential *credential = flight->credential;

	if (job->operation == NULL)
		flight_refuse(worker, flight, RETRY_FAIL, "unknown_operation",
					  "the catalogue has no such operation");
	else if (credential->connection == NULL)
		flight_refuse(worker, flight,
					  credential_is_gone(credential) ? RETRY_FAIL : RETRY_CREDENTIAL,
					  "no_credential", credential->problem);
	else if (job->attempts >= job->max_attempts)
		flight_refuse(worker, flight, RETRY_FAIL, "attempts_exhausted",
					  "all attempts were used up");
	else if (job->operation->class == OPERATION_KEYED &&
			 flight->started_at > job->first_sent_at + JOB_KEY_LIFE)
		flight_refuse(worker, flight, RETRY_IN_DOUBT, "key_expired",
					  "the Idempotency-Key is older than a day");
	else
		return false;
	return true;
}

/* Start a transfer for a flight, in its memory context.  Errors: those of building it. */
static void
flight_send(Worker *worker, Flight *flight, HttpRequest *request)
{
	Credential *credential = flight->credential;

	if (credential->pool == NULL)
		credential->pool = loop_pool(worker->loop, Max(flight->lane->max_connections, 1));
	request->tag = flight;
	request->multiplexed = flight->lane->multiplexed;
	flight->started_at = GetCurrentTimestamp();
	flight->token_number = credential->token_number;
	flight->transfer = http_start(request);
	loop_add(credential->pool, flight->transfer);
}

/* Build the request of a flight and send it; a problem concludes the flight. */
static void
flight_launch(Worker *worker, Flight *flight)
{
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	Connection *connection = flight->credential->connection;

	PG_TRY();
	{
		connection->access_token = flight->credential->token;
		flight_send(worker, flight,
					request_build(connection, flight->job->operation, flight->job->params,
								  flight->job->body));
	}
	PG_CATCH();
	{
		ErrorData *error;
		bool is_local;

		MemoryContextSwitchTo(flight->context);
		error = CopyErrorData();
		FlushErrorState();
		flight->transfer = NULL;
		is_local = error->sqlerrcode == ERRCODE_CONFIG_FILE_ERROR ||
				   error->sqlerrcode == ERRCODE_OUT_OF_MEMORY;
		flight_refuse(worker, flight, is_local ? RETRY_CREDENTIAL : RETRY_FAIL, "not_sendable",
					  error->message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/* Conclude all flights that wait for a token which does not come. */
static void
waiting_refuse(Worker *worker, Credential *credential, RetryAction action, const char *code,
			   const char *outcome)
{
	List *waiting = credential->waiting;
	ListCell *cell;

	credential->waiting = NIL;
	foreach(cell, waiting)
		flight_refuse(worker, lfirst(cell), action, code, outcome);
	list_free(waiting);
}

/* Ask for a token; the flight of it belongs to no job. */
static void
token_request(Worker *worker, Credential *credential, Lane *lane)
{
	MemoryContext context =
		AllocSetContextCreate(worker->context, "canopy_summit token", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Flight *flight = palloc0(sizeof(Flight));
	ErrorData *error = NULL;

	flight->context = context;
	flight->lane = lane;
	flight->credential = credential;
	credential->token_requested = true;
	PG_TRY();
	{
		flight_send(worker, flight, oauth_request(credential));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(worker->turn);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	if (error == NULL)
		return;
	credential->token_requested = false;
	MemoryContextDelete(context);
	waiting_refuse(worker, credential, RETRY_OUTAGE, "no_token", error->message);
}

/* Send a flight, or conclude it, or have it wait for a token. */
void
flight_start(Worker *worker, Flight *flight)
{
	Credential *credential = flight->credential;
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext old;

	if (flight_is_refused(worker, flight))
		return;
	if (flight->job->operation->auth != OPERATION_AUTH_BEARER ||
		oauth_token_is_fresh(credential, now))
	{
		flight_launch(worker, flight);
		return;
	}
	if (credential->connection->auth_url == NULL)
	{
		flight_refuse(worker, flight, RETRY_FAIL, "no_auth_url", "the server has no auth_url");
		return;
	}
	old = MemoryContextSwitchTo(credential->context);
	credential->waiting = lappend(credential->waiting, flight);
	MemoryContextSwitchTo(old);
	if (credential->token_requested)
		return;
	if (now < credential->token_not_before)
		waiting_refuse(worker, credential, RETRY_OUTAGE, "no_token",
					   "the last request for an access token failed");
	else
		token_request(worker, credential, flight->lane);
}

/* Take a token, or the refusal of one, and go on with the flights that wait for it. */
static void
token_arrived(Worker *worker, Flight *flight)
{
	Credential *credential = flight->credential;
	HttpResponse *response = http_transfer_response(flight->transfer);
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext old = MemoryContextSwitchTo(worker->turn);
	Failure *failure = oauth_take(credential, response, now);
	List *waiting;
	ListCell *cell;

	credential->token_requested = false;
	if (failure == NULL)
	{
		credential->token_failures = 0;
		waiting = credential->waiting;
		credential->waiting = NIL;
		/* Meanwhile the role, its mapping or its right may have gone. */
		foreach(cell, waiting)
			if (!flight_is_refused(worker, lfirst(cell)))
				flight_launch(worker, lfirst(cell));
		list_free(waiting);
	}
	else
	{
		bool is_refused = response->outcome == HTTP_COMPLETE && response->status >= 400 &&
						  response->status < 500 && response->status != 408 &&
						  response->status != 429;

		credential->token_not_before =
			TimestampTzPlusMilliseconds(now, Min((int64) TOKEN_PAUSE
													 << Min(credential->token_failures, 10),
												 TOKEN_LONGEST_PAUSE));
		credential->token_failures++;
		credential->refusals =
			is_refused ? 2 : 0; /* no second try: the secret itself was refused */
		waiting_refuse(worker, credential, is_refused ? RETRY_CREDENTIAL : RETRY_OUTAGE, "no_token",
					   psprintf("no access token: %s", failure->words));
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(flight->context);
}

/* Read the response of a flight and decide what it means. */
static void
flight_landed(Worker *worker, Flight *flight)
{
	HttpResponse *response = http_transfer_response(flight->transfer);
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	Settlement *settlement = &flight->settlement;
	Failure *failure = NULL;
	const char *code = NULL;

	flight->settlement.answer = answer_read(flight->job->operation, response, &failure);
	if (flight->settlement.answer != NULL)
	{
		flight->settlement.answer->started_at = flight->started_at;
		settlement->outcome = psprintf("server answered %d", response->status);
	}
	else
	{
		code = failure->code;
		settlement->outcome = failure->words;
		settlement->code = code;
	}
	settlement->status = response->status;
	settlement->response = response;
	flight->lane->multiplexed = response->multiplexed;
	settle_conclude(worker, flight,
					retry_decide(flight->job->operation, response, code,
								 flight->settlement.answer != NULL));
	MemoryContextSwitchTo(old);
}

/* Take the transfers that have ended. */
void
flights_collect(Worker *worker)
{
	HttpTransfer *transfer;

	while ((transfer = loop_next_finished(worker->loop)) != NULL)
	{
		Flight *flight = http_transfer_tag(transfer);

		if (flight->job == NULL)
			token_arrived(worker, flight);
		else
			flight_landed(worker, flight);
	}
}
