/*
 * call.c
 *	  One operation called synchronously.
 *
 * A synchronous call locks and writes nothing before its answer is complete, so
 * a caller that waits here holds nobody up.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "api/call.h"
#include "api/download.h"
#include "api/failure.h"
#include "api/operation.h"
#include "api/request.h"
#include "http/perform.h"
#include "http/transfer.h"
#include "server/connection.h"

/* What puts an access token into a connection with auth 'app', and may wait for a worker to have it refreshed. */
static void (*token_source)(Connection *connection);

/* From _PG_init(). */
void
call_register_token_source(void (*source)(Connection *connection))
{
	token_source = source;
}

/*
 * Have an access token in a connection that needs one for an operation.  Errors: 55000 or
 * 08006 there is none, and those of request_check_scope().
 */
void
call_take_token(Connection *connection, const Operation *operation)
{
	if (connection->auth == AUTH_SCHEME_APP)
		token_source(connection);
	request_check_scope(connection, operation);
}

/* Follow a redirect to a signed URL. */
static HttpResponse *
follow_download(const Connection *connection, const Operation *operation,
				const HttpResponse *redirect)
{
	HttpRequest *download = download_request(connection, redirect);

	if (download == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg(
				 "could not call operation \"%s\": server answered with a download from a host that is not allowed",
				 operation->name),
			 errhint("A superuser can add the host to option download_hosts of server \"%s\".",
					 connection->server)));
	return http_perform(download);
}

/*
 * Call an operation and wait for its answer, in the current memory context; NULL
 * and *failure if there is none.  A file is in answer->received, and has no JSON
 * yet.  Errors: those of connection_authenticate(), request_build() and
 * http_start(), 57014 and friends from the wait.
 */
Answer *
call_try(Connection *connection, const Operation *operation, Jsonb *params, Jsonb *body,
		 Failure **failure)
{
	TimestampTz started_at;
	HttpResponse *response;
	Answer *answer;

	if (operation->auth == OPERATION_AUTH_TEAM)
	{
		connection_authenticate(connection);
		call_take_token(connection, operation);
	}
	started_at = GetCurrentTimestamp();
	response = http_perform(request_build(connection, operation, params, body, NIL));
	answer = answer_read(operation, response, failure);
	if (answer == NULL)
		return NULL;
	answer->started_at = started_at;
	if (operation->envelope != ENVELOPE_REDIRECT)
		return answer;
	response = follow_download(connection, operation, response);
	if (response->outcome != HTTP_COMPLETE || response->status != 200)
	{
		*failure = failure_describe(response);
		return NULL;
	}
	answer_take_file(answer, response);
	return answer;
}

/* The same, but a failure is an error, too: what failure_raise() makes of it. */
Answer *
call_operation(Connection *connection, const Operation *operation, Jsonb *params, Jsonb *body)
{
	Failure *failure;
	Answer *answer = call_try(connection, operation, params, body, &failure);

	if (answer == NULL)
		failure_raise(connection, operation, failure);
	return answer;
}
