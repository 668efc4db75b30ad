/*
 * check_api.c
 *	  Checks of a server, the caller's credentials for it, and the API that it stands for.
 *
 * No message holds anything of a credential, of a URL but its host, or of an answer but
 * its status and the API's code.
 */
#include "postgres.h"

#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "api/call.h"
#include "api/failure.h"
#include "api/operation.h"
#include "api/request.h"
#include "base/jsonb_build.h"
#include "credential/app.h"
#include "credential/credential.h"
#include "credential/token.h"
#include "engine/engine.h"
#include "http/perform.h"
#include "http/transfer.h"
#include "http/url.h"
#include "server/connection.h"
#include "server/provider.h"
#include "status/check.h"

#define CLOCK_TOLERANCE 120 /* s that a clock may be wrong: Summit's signatures are good for 300 */
#define PROBE_MAX_SIZE  (64 * 1024) /* bytes of an answer that nobody reads */

/* It exists, is one of ours, and the caller may use it. */
Finding
check_usage(Examination *examination, const char **remark)
{
	examination->connection = connection_inspect(examination->server);
	return FINDING_GOOD;
}

Finding
check_base_url(Examination *examination, const char **remark)
{
	connection_require(examination->connection, "base_url", examination->connection->base_url,
					   "https://…");
	return FINDING_GOOD;
}

Finding
check_auth_url(Examination *examination, const char **remark)
{
	connection_require(examination->connection, "auth_url", examination->connection->auth_url,
					   "https://…");
	return FINDING_GOOD;
}

Finding
check_team_id(Examination *examination, const char **remark)
{
	/* An App acts for the team that has authorized it. */
	if (examination->connection->auth == AUTH_SCHEME_APP)
		return FINDING_GOOD;
	connection_require(examination->connection, "team_id", examination->connection->team_id, "…");
	return FINDING_GOOD;
}

/* The caller has a mapping, of its own or PUBLIC's. */
Finding
check_mapping(Examination *examination, const char **remark)
{
	connection_check_mapping(examination->connection);
	return FINDING_GOOD;
}

/* The mapping has client_id and secret; a file is there, nobody else's, and has one. */
Finding
check_secret(Examination *examination, const char **remark)
{
	connection_authenticate(examination->connection);
	return FINDING_GOOD;
}

Finding
check_ca_file(Examination *examination, const char **remark)
{
	if (examination->connection->ca_file == NULL)
	{
		*remark = "not set: the system's CAs are trusted";
		return FINDING_NONE;
	}
	http_check_ca_file(examination->connection->ca_file);
	return FINDING_GOOD;
}

/* Do a request, and remember what came. */
static HttpResponse *
examine_by(Examination *examination, const HttpRequest *request)
{
	TimestampTz sent_at = GetCurrentTimestamp();
	HttpResponse *response = http_perform(request);

	if (response->outcome == HTTP_COMPLETE)
	{
		examination->answer = response;
		examination->sent_at = sent_at;
		examination->answered_at = GetCurrentTimestamp();
	}
	return response;
}

/* See whether somebody answers at a URL, who gets to know nothing but that. */
static void
probe_send(Examination *examination, const char *option, const char *url)
{
	const Connection *connection = examination->connection;
	Probe *probe = &examination->probes[examination->probe_count++];
	HttpRequest request = {.method = "GET",
						   .url = url,
						   .ca_file = connection->ca_file,
						   .allow_private_addresses = connection->allow_private_addresses,
						   .connect_timeout = connection->connect_timeout,
						   .timeout = connection->timeout,
						   .max_size = PROBE_MAX_SIZE};
	const char *host = url_host(url);

	*probe = (Probe){.option = option,
					 .host = host ? host : "?",
					 .response = examine_by(examination, &request)};
}

/* Whether a transfer ended before the host had an address. */
static bool
is_unresolved(const HttpResponse *response)
{
	return response->outcome == HTTP_NOT_RESOLVED ||
		   (response->outcome == HTTP_TIMED_OUT && response->times.lookup == 0);
}

/* The statement that sets an option, whether or not the server has it. */
static const char *
option_statement(const Connection *connection, const char *option, const char *value)
{
	const char *verb = "ADD";
	ListCell *cell;

	foreach(cell, GetForeignServer(connection->server_oid)->options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, option) == 0)
			verb = "SET";
	return psprintf("ALTER SERVER %s OPTIONS (%s %s '%s');", quote_identifier(connection->server),
					verb, option, value);
}

/* Raise what came of a probe. */
static void
probe_raise(const Connection *connection, const Probe *probe, const char *hint)
{
	Failure *failure = failure_describe(probe->response);

	ereport(ERROR,
			(errcode(failure->sqlstate),
			 errmsg("%s of %s: %s%s", probe->host, probe->option, failure->words, failure->detail),
			 errhint("%s", hint)));
}

/* The hosts of its URLs have addresses. */
Finding
check_host(Examination *examination, const char **remark)
{
	const Connection *connection = examination->connection;

	probe_send(examination, "base_url", connection->base_url);
	if (connection->provider == PROVIDER_SUMMIT)
		probe_send(examination, "auth_url", connection->auth_url);
	for (int i = 0; i < examination->probe_count; i++)
	{
		const Probe *probe = &examination->probes[i];

		if (is_unresolved(probe->response))
			probe_raise(connection, probe,
						psprintf("Have this machine's name server know it, or %s",
								 option_statement(connection, probe->option, "https://…")));
	}
	return FINDING_GOOD;
}

/* What to do about a connection that did not come about. */
static const char *
connection_hint(const Connection *connection, const Probe *probe)
{
	switch (probe->response->outcome)
	{
		case HTTP_ADDRESS_REFUSED:
			return psprintf("If it shall be asked there, a superuser can: %s",
							option_statement(connection, "allow_private_addresses", "true"));
		case HTTP_NOT_TRUSTED:
			return psprintf("If its certificate is of a CA of its own, a superuser can: %s",
							option_statement(connection, "ca_file", "/…/ca.pem"));
		case HTTP_NO_RESOURCES:
			return "Give the server's processes more memory or file descriptors.";
		default:
			return psprintf("Let this machine's firewall pass it, or %s",
							option_statement(connection, probe->option, "https://…"));
	}
}

/* Its hosts answer, by TLS that is trusted. */
Finding
check_tls(Examination *examination, const char **remark)
{
	for (int i = 0; i < examination->probe_count; i++)
	{
		const Probe *probe = &examination->probes[i];

		/* Whatever it says, and however much. */
		if (probe->response->outcome != HTTP_COMPLETE && probe->response->outcome != HTTP_TOO_LARGE)
			probe_raise(examination->connection, probe,
						connection_hint(examination->connection, probe));
	}
	return FINDING_GOOD;
}

/* The list of pulls from before there was one: it names the team, and holds nobody's data. */
static Jsonb *
no_pulls(void)
{
	JsonBuilder builder = {0};

	builder_add_text(&builder, "before", "1970-01-01T00:00:00.000Z");
	builder_add_text(&builder, "limit", "1");
	return builder_finish_object(&builder);
}

/* Have Canopy answer an authenticated request that only reads. */
static void
authenticate_canopy(Examination *examination)
{
	const Operation *operation = operation_find("get-pulls", PROVIDER_CANOPY);
	HttpRequest *request;
	Failure *failure;

	call_take_token(examination->connection, operation);
	request = request_build(examination->connection, operation, no_pulls(), NULL, NIL);
	if (answer_read(operation, examine_by(examination, request), &failure) == NULL)
		failure_raise(examination->connection, operation, failure);
}

/* Have Summit give an access token, which is forgotten at once. */
static void
authenticate_summit(Examination *examination)
{
	Credential credential = {.connection = examination->connection,
							 .context = CurrentMemoryContext};
	HttpRequest *request = token_http_request(examination->connection);
	Failure *failure =
		token_take(&credential, examine_by(examination, request), GetCurrentTimestamp());

	credential_forget_token(&credential);
	if (failure != NULL)
		failure_raise(examination->connection, operation_find("create-token", PROVIDER_SUMMIT),
					  failure);
}

/* Whether a worker has to refresh the caller's access token before it does. */
static bool
token_has_run_out(const Connection *connection)
{
	AppOwner owner = {connection->server_oid, GetUserId()};
	AppGrant *grant;
	Engine engine;
	bool has_run_out;

	engine_begin(&engine);
	grant = app_grant_read(owner);
	has_run_out = grant->state == APP_REFRESHING ||
				  (grant->state == APP_READY && grant->access_until <= GetCurrentTimestamp());
	engine_end(&engine);
	return has_run_out;
}

/* The API accepts them. */
Finding
check_credentials(Examination *examination, const char **remark)
{
	if (examination->connection->auth == AUTH_SCHEME_APP &&
		token_has_run_out(examination->connection))
	{
		*remark =
			"not tested: the access token has run out, and a worker refreshes it with the next call";
		return FINDING_NONE;
	}
	if (examination->connection->provider == PROVIDER_CANOPY)
		authenticate_canopy(examination);
	else
		authenticate_summit(examination);
	return FINDING_GOOD;
}

/* Seconds as a person says them. */
static const char *
duration_words(int64 seconds)
{
	return seconds >= 2 * 3600 ? psprintf("%lld hours", (long long) seconds / 3600)
		   : seconds >= 120    ? psprintf("%lld minutes", (long long) seconds / 60)
							   : psprintf("%lld seconds", (long long) seconds);
}

/* This machine's clock says what the API's does, which has answered at some moment between request and answer. */
Finding
check_clock(Examination *examination, const char **remark)
{
	const HttpResponse *answer = examination->answer;
	TimestampTz date;
	int64 ahead;
	int64 behind;

	if (answer == NULL || answer->date == 0)
	{
		*remark = "not tested: the answer has no Date";
		return FINDING_NONE;
	}
	date = time_t_to_timestamptz(answer->date);
	ahead = (examination->sent_at - date) / USECS_PER_SEC - 1; /* a Date is cut to its second */
	behind = (date - examination->answered_at) / USECS_PER_SEC;
	if (Max(ahead, behind) > CLOCK_TOLERANCE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this machine's clock is %s %s the API's: signatures of webhooks look too "
						"%s",
						duration_words(Max(ahead, behind)), ahead > behind ? "ahead of" : "behind",
						ahead > behind ? "old" : "new"),
				 errhint("Set it, and keep it set: timedatectl set-ntp true")));
	return FINDING_GOOD;
}
