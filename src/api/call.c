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
#include "api/failure.h"
#include "api/operation.h"
#include "api/request.h"
#include "http/perform.h"
#include "http/transfer.h"
#include "http/url.h"
#include "server/connection.h"

/* Whether files may be downloaded from the host of the URL. */
static bool
is_download_host(const Connection *connection, const char *url)
{
	char *host = url_host(url);
	ListCell *cell;

	foreach(cell, connection->download_hosts)
		if (host != NULL && strcmp(host, lfirst(cell)) == 0)
			return true;
	return false;
}

/*
 * Follow a redirect to a signed URL: once, by a new handle that knows no
 * credential, to an allowed host.
 */
static HttpResponse *
follow_download(const Connection *connection, const Operation *operation,
				const HttpRequest *request, const HttpResponse *redirect)
{
	HttpRequest download = {.method = "GET"};
	HttpResponse *response;

	if (redirect->location == NULL || !is_download_host(connection, redirect->location))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg(
				 "could not call operation \"%s\": server answered with a download from a host that is not allowed",
				 operation->name),
			 errhint("A superuser can add the host to option download_hosts of server \"%s\".",
					 connection->server)));
	download.url = redirect->location;
	download.ca_file = request->ca_file;
	download.allow_private_addresses = request->allow_private_addresses;
	download.connect_timeout = request->connect_timeout;
	download.timeout = request->timeout;
	download.max_size = (size_t) setting_max_document_size * 1024;
	response = http_perform(&download);
	if (response->outcome != HTTP_COMPLETE || response->status != 200)
		failure_raise(connection, operation, failure_describe(response));
	return response;
}

/*
 * Call an operation and wait for its answer, in the current memory context.
 * Errors: those of connection_authenticate(), request_build() and http_start(),
 * 57014 and friends from the wait, and what failure_raise() makes of a failure.
 */
Answer *
call_operation(Connection *connection, const Operation *operation, Jsonb *params, Jsonb *body)
{
	TimestampTz started_at;
	HttpRequest *request;
	HttpResponse *response;
	Failure *failure;
	Answer *answer;

	if (operation->auth == OPERATION_AUTH_TEAM)
		connection_authenticate(connection);
	request = request_build(connection, operation, params, body);
	started_at = GetCurrentTimestamp();
	response = http_perform(request);
	answer = answer_read(operation, response, &failure);
	if (answer == NULL)
		failure_raise(connection, operation, failure);
	answer->started_at = started_at;
	if (operation->envelope == ENVELOPE_REDIRECT)
		answer->json = answer_of_file(follow_download(connection, operation, request, response));
	return answer;
}
