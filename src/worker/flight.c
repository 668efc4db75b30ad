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
#include "http/transfer.h"
#include "job/job.h"
#include "job/retry.h"
#include "job/settlement.h"
#include "server/connection.h"
#include "worker/flight.h"
#include "worker/lane.h"
#include "worker/send.h"
#include "worker/settle.h"
#include "worker/token_request.h"
#include "worker/worker.h"

/* Read the response of a flight and decide what it means. */
static void
flight_landed(Worker *worker, Sending *sending)
{
	Flight *flight = (Flight *) sending;
	HttpResponse *response = http_transfer_response(sending->transfer);
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

/* A flight for a claimed job, in the job's memory context; the credential has been read. */
Flight *
flight_create(Worker *worker, Lane *lane, Job *job)
{
	MemoryContext context = GetMemoryChunkContext(job);
	Flight *flight = MemoryContextAllocZero(context, sizeof(Flight));

	flight->sending.landed = flight_landed;
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

/* Build the request of a flight and send it; a problem concludes the flight. */
static void
flight_launch(Worker *worker, Flight *flight)
{
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	Connection *connection = flight->credential->connection;
	HttpRequest *request;

	PG_TRY();
	{
		connection->access_token = flight->credential->token;
		request = request_build(connection, flight->job->operation, flight->job->params,
								flight->job->body);
		flight->started_at = GetCurrentTimestamp();
		flight->token_number = flight->credential->token_number;
		send_start(worker, &flight->sending, request, flight->credential, flight->lane);
	}
	PG_CATCH();
	{
		ErrorData *error;
		bool is_local;

		MemoryContextSwitchTo(flight->context);
		error = CopyErrorData();
		FlushErrorState();
		flight->sending.transfer = NULL;
		is_local = error->sqlerrcode == ERRCODE_CONFIG_FILE_ERROR ||
				   error->sqlerrcode == ERRCODE_OUT_OF_MEMORY;
		flight_refuse(worker, flight, is_local ? RETRY_CREDENTIAL : RETRY_FAIL, "not_sendable",
					  error->message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/* Take a token, or the refusal of one, and go on with the flights that waited for it. */
static void
token_landed(Worker *worker, Sending *sending)
{
	TokenEnd end = token_request_end(worker, (TokenRequest *) sending, GetCurrentTimestamp());
	ListCell *cell;

	foreach(cell, end.waiting)
	{
		Flight *flight = lfirst(cell);

		if (end.problem != NULL)
			flight_refuse(worker, flight, end.is_refused ? RETRY_CREDENTIAL : RETRY_OUTAGE,
						  "no_token", end.problem);
		/* Meanwhile the role, its mapping or its right may have gone. */
		else if (!flight_is_refused(worker, flight))
			flight_launch(worker, flight);
	}
}

/* Have a flight wait for a token, which is asked for unless it is on its way. */
static void
flight_await_token(Worker *worker, Flight *flight, TimestampTz now)
{
	Credential *credential = flight->credential;
	TokenRequest *request = token_request_find(worker, credential);
	const char *problem = "the last request for an access token failed";
	MemoryContext old;

	if (credential->connection->auth_url == NULL)
	{
		flight_refuse(worker, flight, RETRY_FAIL, "no_auth_url", "the server has no auth_url");
		return;
	}
	if (request == NULL && now >= credential->token_not_before)
		request = token_request_start(worker, credential, flight->lane, token_landed, &problem);
	if (request == NULL)
	{
		flight_refuse(worker, flight, RETRY_OUTAGE, "no_token", problem);
		return;
	}
	old = MemoryContextSwitchTo(request->context);
	request->waiting = lappend(request->waiting, flight);
	MemoryContextSwitchTo(old);
}

/* Send a flight, or conclude it, or have it wait for a token. */
void
flight_start(Worker *worker, Flight *flight)
{
	Credential *credential = flight->credential;
	TimestampTz now = GetCurrentTimestamp();

	if (flight_is_refused(worker, flight))
		return;
	if (flight->job->operation->auth != OPERATION_AUTH_BEARER || token_is_fresh(credential, now))
		flight_launch(worker, flight);
	else
		flight_await_token(worker, flight, now);
}
