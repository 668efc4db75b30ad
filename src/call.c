/*
 * call.c
 *	  Responses to answers, and one operation called synchronously.
 *
 * A synchronous call locks and writes nothing before its answer is complete, so
 * a caller that waits here holds nobody up.
 */
#include "call.h"

#include "common/base64.h"
#include "utils/builtins.h"

/* Whether the status is the success that the catalogue expects. */
static bool
is_success(const Operation *operation, int status)
{
	if (operation->envelope == ENVELOPE_REDIRECT)
		return status == 302;
	return (status >= 200 && status <= 299) ||
		   (status == 500 && (operation->flags & OPERATION_ANSWERS_500));
}

/* The value inside {"success": true, "<field>": …}; the whole answer where the field is not. */
static Jsonb *
unwrap(const Operation *operation, Jsonb *json)
{
	JsonbValue *field;

	if (operation->unwrap == NULL || !JB_ROOT_IS_OBJECT(json))
		return json;
	field = getKeyJsonValueFromContainer(&json->root, operation->unwrap, strlen(operation->unwrap),
										 NULL);
	return field == NULL ? json : JsonbValueToJsonb(field);
}

/* Whether the answer says of itself that it failed. */
static bool
says_failure(Jsonb *json)
{
	JsonbValue *success;

	if (!JB_ROOT_IS_OBJECT(json))
		return false;
	success = getKeyJsonValueFromContainer(&json->root, "success", strlen("success"), NULL);
	return success != NULL && success->type == jbvBool && !success->val.boolean;
}

static void
push_member(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* A file as {"base64": …, "content_type": …}. */
static Jsonb *
file_json(const HttpResponse *response)
{
	JsonbParseState *state = NULL;
	int size = pg_b64_enc_len(response->body_len) + 1;
	char *base64 = palloc0(size);

	if (pg_b64_encode((const void *) response->body, response->body_len, base64, size - 1) < 0)
		elog(ERROR, "could not encode base64");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_member(&state, "base64", base64);
	push_member(&state, "content_type",
				response->content_type ? response->content_type : "application/octet-stream");
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Whether files may be downloaded from the host of the URL. */
static bool
is_download_host(const Connection *connection, const char *url)
{
	char *host = http_url_host(url);
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
 * The answer in a response, in the current memory context; NULL and *failure if
 * it has none.  A redirect to a file is an answer without JSON.
 */
Answer *
answer_read(const Operation *operation, const HttpResponse *response, Failure **failure)
{
	Answer *answer = palloc0(sizeof(Answer));
	const char *problem;

	answer->received = response->body;
	answer->received_len = response->body_len;
	if (response->outcome != HTTP_COMPLETE || !is_success(operation, response->status))
	{
		*failure = failure_describe(response);
		return NULL;
	}
	if (operation->envelope == ENVELOPE_REDIRECT)
		return answer;
	if (operation->envelope == ENVELOPE_BINARY)
	{
		answer->json = file_json(response);
		return answer;
	}
	answer->json = json_read(response->body, response->body_len, &answer->replaced, &problem);
	if (answer->json == NULL)
		*failure = failure_describe_unreadable(response, problem);
	else if (says_failure(answer->json))
		*failure = failure_describe(response);
	else
	{
		answer->json = unwrap(operation, answer->json);
		return answer;
	}
	return NULL;
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
		answer->json = file_json(follow_download(connection, operation, request, response));
	return answer;
}
