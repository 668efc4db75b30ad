/*
 * failure.c
 *	  What came of a request, as an error: the one place that maps outcomes to
 *	  SQLSTATEs.
 *
 * A message holds method, operation, server, status, the API's error code and
 * correlation id; never a URL, a header, a body or anything else that may be
 * secret or personal.  The API's code decides before the status does: a
 * missing pull is a 400 (guide, section 10).
 */
#include "postgres.h"

#include <ctype.h>

#include "utils/jsonb.h"

#include "api/failure.h"
#include "api/operation.h"
#include "base/json.h"
#include "base/jsonb_get.h"
#include "http/transfer.h"
#include "server/connection.h"

#define CODE_MAX_LENGTH 64
#define HINT_CREDENTIALS \
	"Check client_id and client_secret of the user mapping, and team_id of the server."

/* How a kind of failure is reported. */
typedef struct Verdict
{
	int sqlstate;     /* 0 = the status decides */
	const char *hint; /* NULL = none */
} Verdict;

/* Codes that say more than the status does. */
static const struct
{
	const char *code;
	CodeMeaning meaning;
	Verdict verdict;
} codes[] = {
	{"NOT_FOUND", CODE_FINAL, {ERRCODE_NO_DATA, NULL}},
	{"not_found", CODE_FINAL, {ERRCODE_NO_DATA, NULL}},
	{"NO_PROPERTY_DATA", CODE_SAYS_NOTHING, {ERRCODE_NO_DATA, NULL}},
	{"UNAUTHORIZED",
	 CODE_CREDENTIAL,
	 {ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, HINT_CREDENTIALS}},
	{"unauthorized",
	 CODE_CREDENTIAL,
	 {ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, HINT_CREDENTIALS}},
	{"INCORRECT_API_KEY_TYPE",
	 CODE_CREDENTIAL,
	 {ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	  "The key of the user mapping is for the other environment: sandbox and production do not mix."}},
	{"SUBSCRIPTION_INACTIVE",
	 CODE_SAYS_NOTHING,
	 {ERRCODE_INSUFFICIENT_PRIVILEGE,
	  "The team's subscription with Canopy Connect is not active."}},
	{"FORBIDDEN",
	 CODE_SAYS_NOTHING,
	 {ERRCODE_INSUFFICIENT_PRIVILEGE, "The team's plan does not include this operation."}},
	{"rate_limited", CODE_AGAIN, {ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "Try again later."}},
	{"server_error", CODE_AGAIN, {0, NULL}},
};

/* The place of a code among those; -1 = it is not there. */
static int
code_find(const char *code)
{
	for (int i = 0; code != NULL && i < lengthof(codes); i++)
		if (strcmp(codes[i].code, code) == 0)
			return i;
	return -1;
}

/* What a code, NULL being none, says about repeating the request. */
CodeMeaning
failure_code_meaning(const char *code)
{
	int number = code_find(code);

	return number < 0 ? CODE_SAYS_NOTHING : codes[number].meaning;
}

/* A member of the error object that is safe to show: short, letters, digits, _ and - only. */
static char *
safe_member(JsonbContainer *object, const char *name)
{
	char *text = member_text(object, name);

	if (text == NULL || strlen(text) > CODE_MAX_LENGTH)
		return NULL;
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char) *c) && strchr("_-", *c) == NULL)
			return NULL;
	return text;
}

/* The object that says what went wrong: Summit's {"error": {…}}; NULL if there is none. */
JsonbContainer *
failure_error_object(Jsonb *json)
{
	return json == NULL ? NULL : member_object(&json->root, "error");
}

/* The API's error code and correlation id: Canopy's {"error": CODE}, Summit's {"error": {"code": …}}. */
static void
failure_read_codes(Failure *failure, const HttpResponse *response)
{
	const char *problem;
	Jsonb *json = json_read(response->body, response->body_len, NULL, &problem);
	JsonbContainer *error = failure_error_object(json);

	if (error != NULL)
	{
		failure->code = safe_member(error, "code");
		failure->correlation_id = safe_member(error, "correlation_id");
	}
	else if (json != NULL)
		failure->code = safe_member(&json->root, "error");
}

/* When a client is told to try again. */
static const char *
retry_hint(long retry_after)
{
	return retry_after > 0 ? psprintf("Try again in %ld seconds.", retry_after)
						   : "Try again later.";
}

/* What an answered request with this status and code is. */
static Verdict
status_verdict(int status, const char *code, long retry_after)
{
	int number = code_find(code);

	if (status == 429)
		return (Verdict){ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, retry_hint(retry_after)};
	if (number >= 0 && codes[number].verdict.sqlstate != 0)
		return codes[number].verdict;
	if (status == 401)
		return (Verdict){ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, HINT_CREDENTIALS};
	if (status == 403)
		return (Verdict){ERRCODE_INSUFFICIENT_PRIVILEGE, NULL};
	if (status == 404 || status == 410)
		return (Verdict){ERRCODE_NO_DATA, NULL};
	if (status == 408 || status == 425 || status >= 500)
		return (Verdict){ERRCODE_CONNECTION_FAILURE, retry_hint(retry_after)};
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

/* What a response without an answer is, in the current memory context. */
Failure *
failure_describe(const HttpResponse *response)
{
	Failure *failure = palloc0(sizeof(Failure));
	Verdict verdict;

	failure->detail = "";
	failure->status = response->status;
	if (response->outcome == HTTP_COMPLETE)
	{
		failure_read_codes(failure, response);
		verdict = status_verdict(response->status, failure->code, response->retry_after);
		failure->words = psprintf("server answered %d%s%s", response->status,
								  failure->code ? " " : "", failure->code ? failure->code : "");
		if (failure->correlation_id != NULL)
			failure->detail = psprintf(", correlation id %s", failure->correlation_id);
	}
	else
	{
		failure->words = outcome_words(response->outcome, &verdict);
		failure->detail = psprintf(": %s", response->reason);
	}
	failure->sqlstate = verdict.sqlstate;
	failure->hint = verdict.hint;
	return failure;
}

/* What a successful response is whose content cannot be read. */
Failure *
failure_describe_unreadable(const HttpResponse *response, const char *problem)
{
	Failure *failure = palloc0(sizeof(Failure));

	failure->sqlstate = strcmp(problem, "not JSON") == 0 ? ERRCODE_PROTOCOL_VIOLATION
														 : ERRCODE_PROGRAM_LIMIT_EXCEEDED;
	failure->words = psprintf("content of the answer is %s", problem);
	failure->detail = psprintf(", status %d, %zu bytes", response->status, response->body_len);
	return failure;
}

/* Whether a server may say so because it does not know the route, rather than what was asked for. */
bool
failure_is_of_route(int status, const char *code)
{
	return code == NULL && (status == 404 || status == 405 || status == 410 || status == 501);
}

/* Raise a failure as an error.  Never returns. */
void
failure_raise(const Connection *connection, const Operation *operation, const Failure *failure)
{
	ereport(ERROR, (errcode(failure->sqlstate),
					errmsg("could not call operation \"%s\": %s", operation->name, failure->words),
					errdetail("Method %s, server \"%s\"%s.", operation->method, connection->server,
							  failure->detail),
					failure->hint ? errhint("%s", failure->hint) : 0));
	pg_unreachable();
}
