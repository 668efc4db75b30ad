/*
 * authorize.c
 *	  Apps: the address at which a customer grants access, the code that comes back, and
 *	  the token that a call then needs (OAuth 2.0, guide, section 1.3).
 *
 * A session never sends a code or a refresh token itself: it asks a worker, and waits for
 * what that commits, whatever its own snapshot.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "api/call.h"
#include "base/base64.h"
#include "base/confidential.h"
#include "base/digest.h"
#include "canopy/authorize.h"
#include "credential/app.h"
#include "engine/argument.h"
#include "engine/engine.h"
#include "engine/instance.h"
#include "engine/statement.h"
#include "http/url.h"
#include "process/app_request.h"
#include "process/shared.h"
#include "server/connection.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_authorize_url);
CONFIDENTIAL_FUNCTION(canopy_summit_authorize);

#define WAIT_PAUSE  50          /* ms between looks */
#define WAIT_MARGIN (30 * 1000) /* ms beside a request's time, for a worker that has to start */
#define STATE_MIN   8           /* characters of a state, so that nobody guesses it */
#define STATE_MAX   500

enum
{
	AUTHORIZATION_ADD,
	AUTHORIZATION_FIND,
	AUTHORIZATION_LOOK,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[AUTHORIZATION_ADD] = {7, {INT8OID, OIDOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID},
		"WITH old AS (DELETE FROM canopy_summit.app_authorization WHERE asked_at < now() - interval '1 hour')"
		" INSERT INTO canopy_summit.app_authorization AS a (authorization_id, instance, server_oid, owner_oid, state, verifier,"
		"  redirect_uri, scopes, asked_at)"
		" VALUES (nextval('canopy_summit.app_authorization_id_seq'), $1, $2, $3, $4, $5, $6, $7, now())"
		" ON CONFLICT (instance, server_oid, owner_oid, state) DO NOTHING"},
	[AUTHORIZATION_FIND] = {4, {INT8OID, OIDOID, OIDOID, TEXTOID},
		"SELECT authorization_id, sent_at IS NOT NULL, asked_at <= clock_timestamp() - interval '10 minutes', xmin::text::bigint"
		" FROM canopy_summit.app_authorization"
		" WHERE instance = $1 AND server_oid = $2 AND owner_oid = $3 AND state = $4"},
	[AUTHORIZATION_LOOK] = {1, {INT8OID},
		"SELECT ended_at IS NOT NULL, problem FROM canopy_summit.app_authorization WHERE authorization_id = $1"},
};
/* clang-format on */

/* Refuse to wait for a worker where there cannot be one.  Error 55000. */
static void
check_workers(void)
{
	if (shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("only a worker gets the tokens of an App, and there is none"),
				 errhint("Add canopy_summit to shared_preload_libraries and restart the server.")));
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("only a worker gets the tokens of an App, and a standby has none"),
						errhint("Call it on the primary.")));
}

/* Wait a moment for a worker, but not past a time.  Error 08006. */
static void
wait_for_worker(TimestampTz until)
{
	if (GetCurrentTimestamp() > until)
		ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
						errmsg("no worker has got the tokens of the App in time"),
						errhint("SELECT * FROM canopy_summit.worker_status;")));
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_PAUSE,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static TimestampTz
wait_end(const Connection *connection)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   (int64) connection->timeout + WAIT_MARGIN);
}

/* The grant of the current role, in the current memory context. */
static AppGrant *
grant_read(AppOwner owner)
{
	MemoryContext caller = CurrentMemoryContext;
	AppGrant *grant;
	MemoryContext old;
	Engine engine;

	engine_begin(&engine);
	old = MemoryContextSwitchTo(caller);
	grant = app_grant_read(owner);
	MemoryContextSwitchTo(old);
	engine_end(&engine);
	return grant;
}

/*
 * From call_try(): put the current role's access token into a connection, after a worker
 * has refreshed it if it has run out.  Errors: 55000 there is no grant, or no worker; 08006.
 */
static void
app_token_source(Connection *connection)
{
	AppOwner owner = {connection->server_oid, GetUserId()};
	TimestampTz until = wait_end(connection);
	AppGrant *grant;

	while ((grant = grant_read(owner))->state != APP_READY ||
		   grant->access_until <= GetCurrentTimestamp())
	{
		if (app_grant_problem(grant) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("server \"%s\" has no access token: %s", connection->server,
							app_grant_problem(grant)),
					 errhint(
						 "Send whoever owns the account to canopy_authorize_url(), and pass what "
						 "comes back to canopy_authorize().")));
		check_workers();
		(void) app_request_post(owner.server_oid, owner.owner_oid, 0, NULL);
		wait_for_worker(until);
	}
	connection->access_token = grant->access_token;
	connection->granted = grant->scopes;
	if (*grant->team_id != '\0')
		connection->team_id = grant->team_id;
}

/* Bytes as base64 that a URL can hold (RFC 7636, appendix A). */
static char *
base64_url(const void *bytes, int len)
{
	char *text = base64_encode(bytes, len);

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	text[strcspn(text, "=\n")] = '\0';
	return text;
}

static char *
verifier_create(void)
{
	uint8 random[32];

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random bytes")));
	return base64_url(random, sizeof(random));
}

static void
argument_refuse(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("argument \"%s\" %s", name, problem), errhint("%s", hint)));
}

/* The scopes with blanks between.  Error 22023. */
static char *
scopes_text(ArrayType *scopes)
{
	StringInfoData list;
	Datum *values;
	bool *nulls;
	int count;

	initStringInfo(&list);
	deconstruct_array(scopes, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		const char *scope = nulls[i] ? "" : TextDatumGetCString(values[i]);

		if (*scope == '\0' || strpbrk(scope, " \t\r\n,") != NULL)
			argument_refuse("scopes", "has something that is no scope",
							"Canopy knows, for example, read:pulls and write:whitelabel.");
		appendStringInfo(&list, "%s%s", i > 0 ? " " : "", scope);
	}
	if (count == 0)
		argument_refuse("scopes", "is empty", "For example {read:pulls,read:webhooks}.");
	return list.data;
}

/* A server whose role acts as an App.  Error 22023. */
static Connection *
app_connection(const char *server)
{
	Connection *connection = connection_open(server, PROVIDER_CANOPY);

	if (connection->auth != AUTH_SCHEME_APP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("server \"%s\" is not that of an App", connection->server),
						errhint("ALTER SERVER %s OPTIONS (ADD auth 'app');",
								quote_identifier(connection->server))));
	connection_authenticate(connection);
	return connection;
}

static void
append_parameter(StringInfo url, const char *name, const char *value)
{
	appendStringInfo(url, "&%s=", name);
	url_append_encoded(url, value, strlen(value));
}

/* Keep what the code will be changed with.  Error 22023: the state was given out before. */
static void
authorization_add(const Connection *connection, const char *state, const char *verifier,
				  const char *redirect_uri, Datum scopes)
{
	Values values = {0};
	Engine engine;
	uint64 added;

	engine_begin(&engine);
	values_add_int64(&values, instance_current());
	values_add_oid(&values, connection->server_oid);
	values_add_oid(&values, engine.role);
	values_add_text(&values, state);
	values_add_text(&values, verifier);
	values_add_text(&values, redirect_uri);
	values_add(&values, scopes);
	added = statement_run_values(&statements[AUTHORIZATION_ADD], &values);
	engine_end(&engine);
	if (added == 0)
		argument_refuse("state", "was given out before", "Take another one for each address.");
}

/* canopy_authorize_url(redirect_uri text, scopes text[], state text, server name) -> text */
static Datum
canopy_summit_authorize_url_confidential(PG_FUNCTION_ARGS)
{
	const char *redirect_uri = argument_required(fcinfo, 0, "redirect_uri");
	const char *state = argument_required(fcinfo, 2, "state");
	Connection *connection = app_connection(argument_name(fcinfo, 3));
	char *verifier = verifier_create();
	uint8 digest[DIGEST_LENGTH];
	StringInfoData url;
	char *scopes;

	PreventCommandIfReadOnly("canopy_authorize_url()");
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"scopes\" cannot be NULL")));
	scopes = scopes_text(PG_GETARG_ARRAYTYPE_P(1));
	if (strncmp(redirect_uri, "https://", 8) != 0 &&
		strncmp(redirect_uri, "http://127.0.0.1", 16) != 0)
		argument_refuse("redirect_uri", "is no https URL",
						"One that is registered for the App in Canopy's dashboard.");
	if (strlen(state) < STATE_MIN || strlen(state) > STATE_MAX)
		argument_refuse("state", "must have 8 to 500 characters",
						"A random one for each address, that your page knows again.");
	authorization_add(connection, state, verifier, redirect_uri, PG_GETARG_DATUM(1));
	digest_text(verifier, digest);
	initStringInfo(&url);
	appendStringInfo(&url, "%s/authorize?response_type=code", connection->auth_url);
	append_parameter(&url, "client_id", connection->client_id);
	append_parameter(&url, "redirect_uri", redirect_uri);
	append_parameter(&url, "scope", scopes);
	append_parameter(&url, "state", state);
	append_parameter(&url, "code_challenge_method", "S256");
	append_parameter(&url, "code_challenge", base64_url(digest, DIGEST_LENGTH));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(url.data, url.len));
}

/* The key of the address that a state belongs to.  Error 22023: it cannot be used. */
static int64
authorization_find(const Connection *connection, const char *state)
{
	static const char *const hint = "Send the customer to another canopy_authorize_url().";
	Values values = {0};
	bool is_known;
	bool is_sent = false;
	bool is_old = false;
	TransactionId made_by = InvalidTransactionId;
	int64 authorization_id = 0;
	Engine engine;

	engine_begin(&engine);
	values_add_int64(&values, instance_current());
	values_add_oid(&values, connection->server_oid);
	values_add_oid(&values, engine.role);
	values_add_text(&values, state);
	is_known = statement_run_values_now(&statements[AUTHORIZATION_FIND], &values) > 0;
	if (is_known)
	{
		Record record = statement_record(0);

		authorization_id = record_int64(&record);
		is_sent = record_boolean(&record);
		is_old = record_boolean(&record);
		made_by = (TransactionId) record_int64(&record);
	}
	engine_end(&engine);
	if (!is_known)
		argument_refuse("state", "was never given out to this role", hint);
	if (is_sent)
		argument_refuse("state", "was used before", hint);
	if (is_old)
		argument_refuse("state", "is older than ten minutes", hint);
	if (TransactionIdIsCurrentTransactionId(made_by))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the address was made by this transaction"),
						errhint("COMMIT before you send anybody there.")));
	return authorization_id;
}

/* Whether a worker is done with a code; raises what came of it.  Error 28000. */
static bool
authorization_is_over(int64 authorization_id)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum argument = Int64GetDatum(authorization_id);
	bool is_over = true;
	char *problem = NULL;
	Engine engine;

	engine_begin(&engine);
	if (statement_run_now(&statements[AUTHORIZATION_LOOK], &argument, NULL) > 0)
	{
		Record record = statement_record(0);

		is_over = record_boolean(&record);
		problem = record_text(&record);
		if (problem != NULL)
			problem = MemoryContextStrdup(caller, problem);
	}
	engine_end(&engine);
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("could not authorize the App: %s", problem),
						errhint("Send the customer to another canopy_authorize_url().")));
	return is_over;
}

/* canopy_authorize(code text, state text, server name) -> text: the team_id */
static Datum
canopy_summit_authorize_confidential(PG_FUNCTION_ARGS)
{
	const char *code = argument_required(fcinfo, 0, "code");
	const char *state = argument_required(fcinfo, 1, "state");
	Connection *connection = app_connection(argument_name(fcinfo, 2));
	AppOwner owner = {connection->server_oid, GetUserId()};
	TimestampTz until = wait_end(connection);
	int64 authorization_id;
	AppGrant *grant;

	check_workers();
	if (strlen(code) >= sizeof(((AppRequest *) NULL)->code))
		argument_refuse("code", "is too long", "Pass parameter code of the address alone.");
	authorization_id = authorization_find(connection, state);
	while (!app_request_post(owner.server_oid, owner.owner_oid, authorization_id, code))
		wait_for_worker(until);
	while (!authorization_is_over(authorization_id))
		wait_for_worker(until);
	grant = grant_read(owner);
	if (grant->team_id == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(grant->team_id));
}

/* From _PG_init(). */
void
authorize_register(void)
{
	call_register_token_source(app_token_source);
}
