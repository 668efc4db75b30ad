/*
 * call_error.c
 *	  What came of a request, as an error: the one place that maps outcomes to
 *	  SQLSTATEs.
 *
 * A message holds method, operation, server, status, the API's error code and
 * correlation id; never a URL, a header, a body or anything else that may be
 * secret or personal.  The API's code decides before the status does: a
 * missing pull is a 400 (guide, section 10).
 */
#include "call.h"

#include <ctype.h>

#include "http.h"
#include "utils/builtins.h"

#define CODE_MAX_LENGTH 64
#define HINT_CREDENTIALS \
	"Check client_id and client_secret of the user mapping, and team_id of the server."

/* How a kind of failure is reported. */
typedef struct Verdict
{
	int sqlstate;
	const char *hint; /* NULL = none */
} Verdict;

/* Codes whose meaning the status does not give. */
static const struct
{
	const char *code;
	Verdict verdict;
} verdicts[] = {
	{"NOT_FOUND", {ERRCODE_NO_DATA, NULL}},
	{"not_found", {ERRCODE_NO_DATA, NULL}},
	{"NO_PROPERTY_DATA", {ERRCODE_NO_DATA, NULL}},
	{"UNAUTHORIZED", {ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, HINT_CREDENTIALS}},
	{"unauthorized", {ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, HINT_CREDENTIALS}},
	{"INCORRECT_API_KEY_TYPE",
	 {ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	  "The key of the user mapping is for the other environment: sandbox and production do not mix."}},
	{"SUBSCRIPTION_INACTIVE",
	 {ERRCODE_INSUFFICIENT_PRIVILEGE,
	  "The team's subscription with Canopy Connect is not active."}},
	{"FORBIDDEN",
	 {ERRCODE_INSUFFICIENT_PRIVILEGE, "The team's plan does not include this operation."}},
	{"rate_limited", {ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "Try again later."}},
};

/* A member of the error object that is safe to show: short, letters, digits, _ and - only. */
static char *
safe_member(JsonbContainer *object, const char *name)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, name, strlen(name), NULL);

	if (value == NULL || value->type != jbvString || value->val.string.len == 0 ||
		value->val.string.len > CODE_MAX_LENGTH)
		return NULL;
	for (int i = 0; i < value->val.string.len; i++)
		if (!isalnum((unsigned char) value->val.string.val[i]) &&
			strchr("_-", value->val.string.val[i]) == NULL)
			return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* The API's error code and correlation id: Canopy's {"error": CODE}, Summit's {"error": {"code": …}}. */
static char *
error_code(const HttpResponse *response, char **correlation_id)
{
	const char *problem;
	Jsonb *json = json_read(response->body, response->body_len, NULL, &problem);
	JsonbValue *error;

	*correlation_id = NULL;
	if (json == NULL || !JB_ROOT_IS_OBJECT(json))
		return NULL;
	error = getKeyJsonValueFromContainer(&json->root, "error", strlen("error"), NULL);
	if (error == NULL || error->type != jbvBinary || !JsonContainerIsObject(error->val.binary.data))
		return safe_member(&json->root, "error");
	*correlation_id = safe_member(error->val.binary.data, "correlation_id");
	return safe_member(error->val.binary.data, "code");
}

/* What an answered request with this status and code is. */
static Verdict
status_verdict(int status, const char *code, long retry_after)
{
	if (status == 429)
		return (Verdict){ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
						 retry_after > 0 ? psprintf("Try again in %ld seconds.", retry_after)
										 : "Try again later."};
	for (int i = 0; code != NULL && i < lengthof(verdicts); i++)
		if (strcmp(verdicts[i].code, code) == 0)
			return verdicts[i].verdict;
	if (status == 401)
		return (Verdict){ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, HINT_CREDENTIALS};
	if (status == 403)
		return (Verdict){ERRCODE_INSUFFICIENT_PRIVILEGE, NULL};
	if (status == 404 || status == 410)
		return (Verdict){ERRCODE_NO_DATA, NULL};
	if (status == 408 || status == 425 || status >= 500)
		return (Verdict){ERRCODE_CONNECTION_FAILURE,
						 retry_after > 0 ? psprintf("Try again in %ld seconds.", retry_after)
										 : "Try again later."};
	if (status >= 400)
		return (Verdict){ERRCODE_INVALID_PARAMETER_VALUE, NULL};
	if (status >= 300)
		return (Verdict){ERRCODE_PROTOCOL_VIOLATION,
						 "Redirects are not followed; check base_url of the server."};
	return (Verdict){ERRCODE_PROTOCOL_VIOLATION, NULL};
}

/* Words and verdict of a transfer that did not get a whole answer. */
static const char *
outcome_words(HttpOutcome outcome, Verdict *verdict)
{
	*verdict = (Verdict){ERRCODE_CONNECTION_FAILURE, NULL};
	switch (outcome)
	{
		case HTTP_NOT_RESOLVED:
			verdict->sqlstate = ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION;
			return "host name could not be resolved";
		case HTTP_NOT_CONNECTED:
			verdict->sqlstate = ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION;
			return "could not connect";
		case HTTP_ADDRESS_REFUSED:
			verdict->sqlstate = ERRCODE_INSUFFICIENT_PRIVILEGE;
			verdict->hint = "A superuser can set option allow_private_addresses of the server.";
			return "host has a private address";
		case HTTP_NOT_TRUSTED:
			verdict->sqlstate = ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION;
			verdict->hint =
				"If the server has a certificate of a CA of its own, a superuser can set option ca_file.";
			return "TLS connection could not be trusted";
		case HTTP_TIMED_OUT:
			verdict->hint = "Raise canopy_summit.http_timeout or option timeout of the server.";
			return "timed out";
		case HTTP_TOO_LARGE:
			verdict->sqlstate = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
			verdict->hint =
				"A superuser can raise canopy_summit.max_response_size or max_document_size.";
			return "response is too large";
		case HTTP_NO_RESOURCES:
			verdict->sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
			return "memory or file descriptors ran out";
		default:
			return "connection was lost";
	}
}

/* Raise the error for a request that failed.  Never returns. */
void
call_raise(const Connection *connection, const Operation *operation, const HttpResponse *response)
{
	char *correlation_id = NULL;
	char *code = NULL;
	const char *words;
	Verdict verdict;
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfo(&detail, "Method %s, server \"%s\"", operation->method, connection->server);
	if (response->outcome == HTTP_COMPLETE)
	{
		code = error_code(response, &correlation_id);
		verdict = status_verdict(response->status, code, response->retry_after);
		words =
			psprintf("server answered %d%s%s", response->status, code ? " " : "", code ? code : "");
		if (correlation_id != NULL)
			appendStringInfo(&detail, ", correlation id %s", correlation_id);
	}
	else
	{
		words = outcome_words(response->outcome, &verdict);
		appendStringInfo(&detail, ": %s", response->reason);
	}
	ereport(ERROR, (errcode(verdict.sqlstate),
					errmsg("could not call operation \"%s\": %s", operation->name, words),
					errdetail("%s.", detail.data), verdict.hint ? errhint("%s", verdict.hint) : 0));
	pg_unreachable();
}

/* Raise the error for a successful answer whose content cannot be read.  Never returns. */
void
call_raise_unreadable(const Connection *connection, const Operation *operation,
					  const HttpResponse *response, const char *problem)
{
	ereport(ERROR, (errcode(strcmp(problem, "not JSON") == 0 ? ERRCODE_PROTOCOL_VIOLATION
															 : ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					errmsg("could not call operation \"%s\": content of the answer is %s",
						   operation->name, problem),
					errdetail("Method %s, server \"%s\", status %d, %zu bytes.", operation->method,
							  connection->server, response->status, response->body_len)));
	pg_unreachable();
}
