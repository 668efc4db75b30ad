/*
 * token_request.c
 *	  A request for an access token, and the flights that wait for it.
 *
 * A credential has one on the wire at most, however many jobs wait.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/failure.h"
#include "base/backoff.h"
#include "credential/credential.h"
#include "credential/token.h"
#include "http/transfer.h"
#include "worker/app_token.h"
#include "worker/lane.h"
#include "worker/send.h"
#include "worker/token_request.h"
#include "worker/worker.h"

#define TOKEN_PAUSE         (5 * 1000) /* ms after a request for a token that failed, doubled each time */
#define TOKEN_LONGEST_PAUSE (5 * 60 * 1000)

/* The one that is on the wire for a credential; NULL if none is. */
TokenRequest *
token_request_find(Worker *worker, const Credential *credential)
{
	ListCell *cell;

	foreach(cell, worker->token_requests)
		if (((TokenRequest *) lfirst(cell))->credential == credential)
			return lfirst(cell);
	return NULL;
}

/*
 * Send a request for a token that `make` makes, in the request's memory; NULL and
 * *problem, in the turn's memory, if that cannot be sent.
 */
TokenRequest *
token_request_send(Worker *worker, Credential *credential, const Lane *lane,
				   void (*landed)(Worker *worker, Sending *sending),
				   HttpRequest *(*make)(TokenRequest *request, void *argument), void *argument,
				   const char **problem)
{
	MemoryContext context =
		AllocSetContextCreate(worker->context, "canopy_summit token", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TokenRequest *request = palloc0(sizeof(TokenRequest));
	ErrorData *error = NULL;

	request->context = context;
	request->credential = credential;
	request->sending.landed = landed;
	PG_TRY();
	{
		send_start(worker, &request->sending, make(request, argument), &credential->pool, lane);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(worker->turn);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error == NULL)
	{
		MemoryContextSwitchTo(worker->context);
		worker->token_requests = lappend(worker->token_requests, request);
		MemoryContextSwitchTo(old);
		return request;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	*problem = error->message;
	return NULL;
}

static HttpRequest *
make_request(TokenRequest *request, void *argument)
{
	return token_http_request(request->credential->connection);
}

/* Ask for a token; NULL and *problem, in the turn's memory, if that cannot be sent. */
TokenRequest *
token_request_start(Worker *worker, Credential *credential, const Lane *lane,
					void (*landed)(Worker *worker, Sending *sending), const char **problem)
{
	if (credential->connection->auth == AUTH_SCHEME_APP)
		return app_refresh_start(worker, credential, lane, landed, problem);
	return token_request_send(worker, credential, lane, landed, make_request, NULL, problem);
}

/* Whether a response says that another attempt would get no other. */
static bool
is_refusal(const HttpResponse *response)
{
	return response->outcome == HTTP_COMPLETE && response->status >= 400 &&
		   response->status < 500 && response->status != 408 && response->status != 429;
}

/* Keep others from asking again at once. */
static void
token_pause(Credential *credential, TimestampTz now)
{
	credential->token_not_before =
		TimestampTzPlusMilliseconds(now, backoff_delay(TOKEN_PAUSE, TOKEN_LONGEST_PAUSE,
													   credential->token_failures++));
}

/* Take what came of a request that has landed, into the turn's memory, and free it. */
TokenEnd
token_request_end(Worker *worker, TokenRequest *request, TimestampTz now)
{
	Credential *credential = request->credential;
	MemoryContext old = MemoryContextSwitchTo(worker->turn);
	HttpResponse *response = http_transfer_response(request->sending.transfer);
	Failure *failure = request->is_app ? app_take(worker, request, response, now)
									   : token_take(credential, response, now);
	TokenEnd end = {.waiting = list_copy(request->waiting)};

	if (failure == NULL)
		credential->token_failures = 0;
	else
	{
		end.problem = psprintf("no access token: %s", failure->words);
		end.is_refused = is_refusal(response) && !request->is_app;
		/* A code that does not do says nothing about the tokens there are. */
		if (request->authorization_id == 0)
			token_pause(credential, now);
		/* No second try: the secret itself was refused. */
		credential->refusals = end.is_refused ? 2 : 0;
	}
	worker->token_requests = list_delete_ptr(worker->token_requests, request);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(request->context);
	return end;
}
