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
#include "api/download.h"
#include "api/failure.h"
#include "api/operation.h"
#include "api/request.h"
#include "base/jsonb_get.h"
#include "credential/credential.h"
#include "credential/pull_jwt.h"
#include "credential/token.h"
#include "http/transfer.h"
#include "job/handler.h"
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

#define AUTHORIZATION_PAUSE (30 * 1000) /* ms until jobs look again whether an App is authorized */

/* Conclude a flight that was not sent, or whose answer is not to count. */
static void
flight_refuse(Flight *flight, RetryAction action, const char *code, const char *outcome)
{
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	flight->settlement.code = code;
	flight->settlement.outcome = pstrdup(outcome);
	settle_conclude(flight->worker, flight, action);
	MemoryContextSwitchTo(old);
}

/* Refuse what must not be sent any more; true if it was. */
static bool
flight_is_refused(Flight *flight)
{
	const Job *job = flight->job;
	const Credential *credential = flight->credential;
	const char *hindrance = handler_hindrance(job->operation);

	if (job->operation == NULL)
		flight_refuse(flight, RETRY_FAIL, "unknown_operation",
					  "the catalogue has no such operation");
	else if (credential->connection == NULL)
		flight_refuse(flight, credential_is_gone(credential) ? RETRY_FAIL : RETRY_CREDENTIAL,
					  "no_credential", credential->problem);
	/* After a restore a server of that name may be of another kind. */
	else if (credential->connection->provider != job->operation->provider)
		flight_refuse(flight, RETRY_FAIL, "other_server",
					  "the server is not one for this operation");
	else if (job->attempts >= job->max_attempts)
		flight_refuse(flight, RETRY_FAIL, "attempts_exhausted", "all attempts were used up");
	else if (job->operation->class == OPERATION_KEYED &&
			 flight->started_at > job->first_sent_at + JOB_KEY_LIFE)
		flight_refuse(flight, RETRY_IN_DOUBT, "key_expired",
					  "the Idempotency-Key is older than a day");
	else if (job->operation->auth == OPERATION_AUTH_PULL_JWT &&
			 json_text_field(job->params, PULL_JWT_PARAM) == NULL)
		flight_refuse(flight, RETRY_FAIL, "no_pull_jwt", "no token of its pull is known");
	else if (credential_needs_token(credential, job->operation) && credential->app_problem != NULL)
	{
		flight->credential->token_not_before =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AUTHORIZATION_PAUSE);
		flight_refuse(flight, RETRY_OUTAGE, "not_authorized", credential->app_problem);
	}
	else if (hindrance != NULL)
		flight_refuse(flight, RETRY_OUTAGE, "hindered", hindrance);
	else
		return false;
	return true;
}

/* Send a request of a flight, which `launch` makes; a problem concludes the flight. */
static void
flight_try(Flight *flight, void (*launch)(Flight *flight))
{
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	PG_TRY();
	{
		launch(flight);
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
		flight_refuse(flight, is_local ? RETRY_CREDENTIAL : RETRY_FAIL, "not_sendable",
					  error->message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/* Milliseconds that are left of the time that a request of a flight may take. */
static int
flight_time_left(const Flight *flight)
{
	long used = TimestampDifferenceMilliseconds(flight->started_at, GetCurrentTimestamp());

	return (int) Max(1, flight->timeout - used);
}

/* Begin a step of the handler's own: as long as it lasts, others may be sent in the flight's place. */
static void
flight_begin_step(Flight *flight)
{
	if (flight->worker->inspected >= INSPECTED_MAX)
		return;
	flight->is_inspected = true;
	flight->worker->inspected++;
	flight->lane->in_flight--;
}

/* StepDone: what the step between answer and settle has found. */
static void
flight_inspected(void *argument, RetryAction action, const char *code, const char *problem)
{
	Flight *flight = argument;
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	if (problem != NULL)
		flight_refuse(flight, action, code, problem);
	else
		settle_conclude(flight->worker, flight, action);
	MemoryContextSwitchTo(old);
}

/* Conclude a flight with an answer, after the step that its operation has in between. */
static void
flight_answered(Flight *flight)
{
	const JobHandler *handler = handler_find(flight->job->operation);

	if (handler->inspect == NULL || flight->job->reconciles != 0)
	{
		settle_conclude(flight->worker, flight, RETRY_SUCCEED);
		return;
	}
	flight_begin_step(flight);
	/* Beside the request's time it has half the time after which the claim is taken over. */
	handler->inspect(&flight->settlement, flight->worker->loop,
					 flight_time_left(flight) + setting_lease_margin / 2, flight_inspected, flight);
}

/* Note what a response says: as the outcome, unless its answer is still to come. */
static void
flight_note(Flight *flight, HttpResponse *response, const Failure *failure)
{
	Settlement *settlement = &flight->settlement;

	settlement->outcome =
		failure ? failure->words : psprintf("server answered %d", response->status);
	settlement->code = failure ? failure->code : NULL;
	settlement->status = response->status;
	settlement->response = response;
}

/* A signed URL has answered: its file is the answer.  A URL that has run out is had anew. */
static void
download_landed(Worker *worker, Sending *sending)
{
	Flight *flight = (Flight *) sending;
	HttpResponse *response = http_transfer_response(sending->transfer);
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	bool is_complete = response->outcome == HTTP_COMPLETE;

	if (is_complete && response->status == 200)
	{
		flight_note(flight, response, NULL);
		answer_take_file(flight->settlement.answer, response);
		flight_answered(flight);
	}
	else
	{
		flight_note(flight, response, failure_describe(response));
		flight->settlement.answer = NULL;
		settle_conclude(worker, flight,
						is_complete && response->status >= 400
							? RETRY_AGAIN
							: retry_decide(flight->job->operation, response, NULL, false));
	}
	MemoryContextSwitchTo(old);
}

/* Follow the redirect of a flight; meanwhile the role, its mapping or its right may have gone. */
static void
download_launch(Flight *flight)
{
	HttpRequest *request;

	if (flight_is_refused(flight))
		return;
	request = download_request(flight->credential->connection, flight->redirect);
	if (request == NULL)
	{
		flight->settlement.answer = NULL;
		flight_refuse(
			flight, RETRY_FAIL, "download_refused",
			"server answered with a download from a host that is not on its option download_hosts");
		return;
	}
	request->timeout = flight_time_left(flight);
	flight->sending.landed = download_landed;
	send_start(flight->worker, &flight->sending, request, &flight->lane->download_pool,
			   flight->lane);
}

/* Read the response of a flight and decide what it means. */
static void
flight_landed(Worker *worker, Sending *sending)
{
	Flight *flight = (Flight *) sending;
	HttpResponse *response = http_transfer_response(sending->transfer);
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	const Operation *operation = flight->job->operation;
	Failure *failure = NULL;
	Answer *answer = answer_read(operation, response, &failure);

	flight_note(flight, response, failure);
	flight->lane->multiplexed = response->multiplexed;
	flight->settlement.answer = answer;
	if (answer == NULL)
		settle_conclude(worker, flight, retry_decide(operation, response, failure->code, false));
	else
	{
		answer->started_at = flight->started_at;
		if (operation->envelope == ENVELOPE_REDIRECT)
		{
			flight->redirect = response;
			flight_try(flight, download_launch);
		}
		else
			flight_answered(flight);
	}
	MemoryContextSwitchTo(old);
}

/* Bytes that an answer takes while it waits, roughly. */
int64
flight_bytes(const Flight *flight)
{
	const HttpResponse *response = flight->settlement.response;

	return (response ? response->body_len : 0) +
		   (flight->settlement.answer && flight->settlement.answer->json
				? VARSIZE(flight->settlement.answer->json)
				: 0);
}

/* A flight for a claimed job, in the job's memory context; the credential has been read. */
Flight *
flight_create(Worker *worker, Lane *lane, Job *job)
{
	MemoryContext context = GetMemoryChunkContext(job);
	Flight *flight = MemoryContextAllocZero(context, sizeof(Flight));

	flight->sending.landed = flight_landed;
	flight->worker = worker;
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

/* Build the request of a flight and send it. */
static void
flight_launch(Flight *flight)
{
	const JobHandler *handler = handler_find(flight->job->operation);
	Connection *connection = flight->credential->connection;
	HttpRequest *request;

	connection->access_token = flight->credential->token;
	request_check_scope(connection, flight->job->operation);
	request = request_build(connection, flight->job->operation, flight->job->params,
							flight->job->body, flight->job->files);
	if (handler->compose != NULL)
		handler->compose(request, connection, flight->job->attempts);
	request->multiplexed = flight->lane->multiplexed;
	flight->timeout = request->timeout;
	flight->started_at = GetCurrentTimestamp();
	flight->token_number = flight->credential->token_number;
	send_start(flight->worker, &flight->sending, request, &flight->credential->pool, flight->lane);
}

/* Take a token, or the refusal of one, and go on with the flights that waited for it. */
void
token_landed(Worker *worker, Sending *sending)
{
	TokenEnd end = token_request_end(worker, (TokenRequest *) sending, GetCurrentTimestamp());
	ListCell *cell;

	foreach(cell, end.waiting)
	{
		Flight *flight = lfirst(cell);

		if (end.problem != NULL)
			flight_refuse(flight, end.is_refused ? RETRY_CREDENTIAL : RETRY_OUTAGE, "no_token",
						  end.problem);
		/* Meanwhile the role, its mapping or its right may have gone. */
		else if (!flight_is_refused(flight))
			flight_try(flight, flight_launch);
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
		flight_refuse(flight, RETRY_FAIL, "no_auth_url", "the server has no auth_url");
		return;
	}
	if (request == NULL && now >= credential->token_not_before)
		request = token_request_start(worker, credential, flight->lane, token_landed, &problem);
	if (request == NULL)
	{
		flight_refuse(flight, RETRY_OUTAGE, "no_token", problem);
		return;
	}
	old = MemoryContextSwitchTo(request->context);
	request->waiting = lappend(request->waiting, flight);
	MemoryContextSwitchTo(old);
}

/* Send a flight that is not refused, or have it wait for a token. */
static void
flight_send(Worker *worker, Flight *flight)
{
	Credential *credential = flight->credential;
	TimestampTz now = GetCurrentTimestamp();

	if (!credential_needs_token(credential, flight->job->operation) ||
		token_is_fresh(credential, now))
		flight_try(flight, flight_launch);
	else
		flight_await_token(worker, flight, now);
}

/* StepDone: what the step before sending has found.  It is sent in a turn of the worker's, not from within the loop. */
static void
flight_prepared(void *argument, RetryAction action, const char *code, const char *problem)
{
	Flight *flight = argument;
	MemoryContext old;

	if (problem != NULL)
	{
		flight_refuse(flight, action, code, problem);
		return;
	}
	old = MemoryContextSwitchTo(flight->worker->context);
	flight->worker->prepared = lappend(flight->worker->prepared, flight);
	MemoryContextSwitchTo(old);
}

/* Do what the operation has to be done before it is sent. */
static void
flight_prepare(Flight *flight)
{
	flight_begin_step(flight);
	handler_find(flight->job->operation)
		->prepare(&flight->settlement, flight->worker->loop,
				  flight->lane->timeout + setting_lease_margin / 2, flight_prepared, flight);
}

/* Send a flight, or conclude it, or have it wait for what comes before. */
void
flight_start(Worker *worker, Flight *flight)
{
	if (flight_is_refused(flight))
		return;
	if (handler_find(flight->job->operation)->prepare != NULL)
		flight_try(flight, flight_prepare);
	else
		flight_send(worker, flight);
}

/* Send the flights that are prepared, as far as their servers have places for them. */
void
flights_go_on(Worker *worker)
{
	ListCell *cell;

	foreach(cell, worker->prepared)
	{
		Flight *flight = lfirst(cell);

		if (flight->is_inspected)
		{
			if (!lane_has_place(flight->lane))
				continue;
			flight->is_inspected = false;
			worker->inspected--;
			flight->lane->in_flight++;
		}
		worker->prepared = foreach_delete_current(worker->prepared, cell);
		flight->started_at = GetCurrentTimestamp();
		/* Meanwhile the role, its mapping or its right may have gone, or the key have aged. */
		if (!flight_is_refused(flight))
			flight_send(worker, flight);
	}
}
