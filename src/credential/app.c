/*
 * app.c
 *	  What customers have granted to an App (OAuth 2.0): the tokens, and the addresses
 *	  at which they grant.
 *
 * A refresh token is good for once: whoever sends a used one makes Canopy revoke all.
 * So it is marked as sent, durably, before it is sent, and the next one is kept,
 * durably, before anything else is done with the answer.  What dies in between leaves
 * a grant that has to be given again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/answer.h"
#include "api/failure.h"
#include "api/operation.h"
#include "api/request.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "credential/app.h"
#include "credential/token.h"
#include "engine/instance.h"
#include "engine/statement.h"

enum
{
	GRANT_READ,
	GRANT_TAKE,
	GRANT_GIVE_BACK,
	GRANT_LOSE,
	GRANT_EXPIRE,
	GRANT_REFRESHED,
	GRANT_NEW,
	AUTHORIZATION_TAKE,
	AUTHORIZATION_END,
	STATEMENT_COUNT
};

#define OF_OWNER     " WHERE instance = $1 AND server_oid = $2 AND owner_oid = $3"
#define REFRESHED_BY OF_OWNER " AND state = 'refreshing' AND epoch = $4"

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[GRANT_READ] = {3, {INT8OID, OIDOID, OIDOID},
		"SELECT state, team_id, array_to_string(scopes, ','), access_token, access_until, epoch, problem"
		" FROM canopy_summit.app_grant" OF_OWNER},
	[GRANT_TAKE] = {4, {INT8OID, OIDOID, OIDOID, INT8OID},
		"UPDATE canopy_summit.app_grant SET state = 'refreshing', epoch = $4" OF_OWNER
		" AND state = 'ready' AND access_until <= clock_timestamp() RETURNING refresh_token"},
	[GRANT_GIVE_BACK] = {4, {INT8OID, OIDOID, OIDOID, INT8OID},
		"UPDATE canopy_summit.app_grant SET state = 'ready', epoch = NULL" REFRESHED_BY},
	[GRANT_LOSE] = {5, {INT8OID, OIDOID, OIDOID, INT8OID, TEXTOID},
		"UPDATE canopy_summit.app_grant SET state = 'lost', epoch = NULL, problem = $5,"
		" access_token = '', refresh_token = ''" REFRESHED_BY},
	[GRANT_EXPIRE] = {4, {INT8OID, OIDOID, OIDOID, TEXTOID},
		"UPDATE canopy_summit.app_grant SET access_until = '-infinity'" OF_OWNER " AND access_token = $4"},
	[GRANT_REFRESHED] = {8, {INT8OID, OIDOID, OIDOID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID},
		"UPDATE canopy_summit.app_grant SET state = 'ready', epoch = NULL, problem = NULL, refreshed_at = now(),"
		" access_token = $5, refresh_token = $6, access_until = $7,"
		" scopes = coalesce(string_to_array($8, ' '), scopes)" REFRESHED_BY},
	[GRANT_NEW] = {8, {INT8OID, OIDOID, OIDOID, TEXTOID, TEXTARRAYOID, TEXTOID, TIMESTAMPTZOID, TEXTOID},
		"INSERT INTO canopy_summit.app_grant AS g (instance, server_oid, owner_oid, state, team_id, scopes, access_token,"
		"  access_until, refresh_token, granted_at)"
		" VALUES ($1, $2, $3, 'ready', $4, $5, $6, $7, $8, now())"
		" ON CONFLICT (instance, server_oid, owner_oid) DO UPDATE SET state = 'ready', epoch = NULL, problem = NULL,"
		"  team_id = EXCLUDED.team_id, scopes = EXCLUDED.scopes, access_token = EXCLUDED.access_token,"
		"  access_until = EXCLUDED.access_until, refresh_token = EXCLUDED.refresh_token,"
		"  granted_at = EXCLUDED.granted_at, refreshed_at = NULL"},
	[AUTHORIZATION_TAKE] = {1, {INT8OID},
		"UPDATE canopy_summit.app_authorization SET sent_at = now()"
		" WHERE authorization_id = $1 AND sent_at IS NULL AND asked_at > now() - interval '10 minutes'"
		" RETURNING verifier, redirect_uri, scopes"},
	[AUTHORIZATION_END] = {2, {INT8OID, TEXTOID},
		"UPDATE canopy_summit.app_authorization SET ended_at = now(), problem = $2, verifier = ''"
		" WHERE authorization_id = $1"},
};

static const Operation token_operation = {
	.name = "token", .provider = PROVIDER_CANOPY, .method = "POST", .path = "/token",
	.auth = OPERATION_AUTH_CLIENT, .class = OPERATION_UNSAFE, .flags = OPERATION_SECRET, .content = CONTENT_FORM,
	.errors = "400 invalid_grant",
	.params = {
		{"grant_type", PARAM_BODY, TYPE_TEXT, true},
		{"code", PARAM_BODY, TYPE_TEXT, false},
		{"code_verifier", PARAM_BODY, TYPE_TEXT, false},
		{"redirect_uri", PARAM_BODY, TYPE_TEXT, false},
		{"refresh_token", PARAM_BODY, TYPE_TEXT, false},
	},
};
/* clang-format on */

/* The request that changes a refresh token for others; it is not sent twice. */
HttpRequest *
app_refresh_request(const Connection *connection, const char *refresh_token)
{
	JsonBuilder form = {0};
	HttpRequest *request;

	builder_add_text(&form, "grant_type", "refresh_token");
	builder_add_text(&form, "refresh_token", refresh_token);
	request = request_build(connection, &token_operation, NULL, builder_finish_object(&form), NIL);
	request->once = true;
	return request;
}

/* The request that changes a code for the first tokens; likewise. */
HttpRequest *
app_exchange_request(const Connection *connection, const AppAuthorization *authorization,
					 const char *code)
{
	JsonBuilder form = {0};
	HttpRequest *request;

	builder_add_text(&form, "grant_type", "authorization_code");
	builder_add_text(&form, "code", code);
	builder_add_text(&form, "code_verifier", authorization->verifier);
	builder_add_text(&form, "redirect_uri", authorization->redirect_uri);
	request = request_build(connection, &token_operation, NULL, builder_finish_object(&form), NIL);
	request->once = true;
	return request;
}

/* Read the tokens of an answer, in the current memory context; NULL, or why it has none. */
Failure *
app_tokens_read(const HttpResponse *response, TimestampTz now, AppTokens *tokens)
{
	Failure *failure = NULL;
	Answer *answer = answer_read(&token_operation, response, &failure);

	if (answer == NULL)
		return failure;
	tokens->access_token = json_text_field(answer->json, "access_token");
	tokens->refresh_token = json_text_field(answer->json, "refresh_token");
	tokens->team_id = json_text_field(answer->json, "team_id");
	tokens->scope = json_text_field(answer->json, "scope");
	if (!token_is_fit(tokens->access_token))
		return failure_describe_unreadable(response, "without a usable access_token");
	if (!token_is_fit(tokens->refresh_token))
		return failure_describe_unreadable(response, "without a usable refresh_token");
	tokens->until = token_end(answer->json, now);
	return NULL;
}

/* Scopes of an answer, which have blanks between, as Connection has them, in a memory context. */
char *
app_scopes_granted(MemoryContext context, const char *scope)
{
	char *granted = MemoryContextStrdup(context, scope);

	for (char *c = granted; *c != '\0'; c++)
		if (*c == ' ')
			*c = ',';
	return granted;
}

/* The arguments with which every statement about a grant begins. */
static Values
grant_key(AppOwner owner)
{
	Values values = {0};

	values_add_int64(&values, instance_current());
	values_add_oid(&values, owner.server_oid);
	values_add_oid(&values, owner.owner_oid);
	return values;
}

/* A grant as it is now, whatever the transaction's snapshot, in the current memory context. */
AppGrant *
app_grant_read(AppOwner owner)
{
	MemoryContext caller = CurrentMemoryContext; /* SPI leaves its own */
	AppGrant *grant = palloc0(sizeof(AppGrant));
	Values key = grant_key(owner);
	const char *state;
	Record record;

	if (statement_run_values_now(&statements[GRANT_READ], &key) == 0)
		return grant;
	MemoryContextSwitchTo(caller);
	record = statement_record(0);
	state = record_text(&record);
	grant->state = strcmp(state, "ready") == 0  ? APP_READY
				   : strcmp(state, "lost") == 0 ? APP_LOST
												: APP_REFRESHING;
	grant->team_id = record_text(&record);
	grant->scopes = record_text(&record);
	grant->access_token = record_text(&record);
	grant->access_until = record_time(&record);
	grant->epoch = record_int64(&record);
	grant->problem = record_text(&record);
	return grant;
}

/* Why a grant cannot be used; NULL if it can, perhaps after a refresh. */
const char *
app_grant_problem(const AppGrant *grant)
{
	if (grant->state == APP_NONE)
		return "nobody has authorized the App for this role";
	if (grant->state == APP_LOST)
		return psprintf("the App has to be authorized again: %s", grant->problem);
	return NULL;
}

/* Take the refresh token of a grant whose access token has run out; NULL if another has it, or need not. */
char *
app_grant_take(AppOwner owner, int64 epoch)
{
	MemoryContext caller = CurrentMemoryContext;
	Values values = grant_key(owner);

	values_add_int64(&values, epoch);
	if (statement_run_values(&statements[GRANT_TAKE], &values) == 0)
		return NULL;
	MemoryContextSwitchTo(caller);
	return TextDatumGetCString(statement_value());
}

/* The refresh token was not sent, or not taken. */
void
app_grant_give_back(AppOwner owner, int64 epoch)
{
	Values values = grant_key(owner);

	values_add_int64(&values, epoch);
	(void) statement_run_values(&statements[GRANT_GIVE_BACK], &values);
}

/* The refresh token is used, or may be, and there is no other. */
void
app_grant_lose(AppOwner owner, int64 epoch, const char *problem)
{
	Values values = grant_key(owner);

	values_add_int64(&values, epoch);
	values_add_text(&values, problem);
	(void) statement_run_values(&statements[GRANT_LOSE], &values);
}

/* An access token was refused: it is to be refreshed. */
void
app_grant_expire(AppOwner owner, const char *access_token)
{
	Values values = grant_key(owner);

	values_add_text(&values, access_token);
	(void) statement_run_values(&statements[GRANT_EXPIRE], &values);
}

/* Keep what a refresh has brought; false if the grant is another by now. */
bool
app_grant_refreshed(AppOwner owner, int64 epoch, const AppTokens *tokens)
{
	Values values = grant_key(owner);

	values_add_int64(&values, epoch);
	values_add_text(&values, tokens->access_token);
	values_add_text(&values, tokens->refresh_token);
	values_add_time(&values, tokens->until);
	values_add_text(&values, tokens->scope);
	return statement_run_values(&statements[GRANT_REFRESHED], &values) > 0;
}

/* Keep what a code has brought, in place of what there was. */
void
app_grant_new(AppOwner owner, const AppTokens *tokens, Datum scopes)
{
	Values values = grant_key(owner);

	values_add_text(&values, tokens->team_id ? tokens->team_id : "");
	values_add(&values, scopes);
	values_add_text(&values, tokens->access_token);
	values_add_time(&values, tokens->until);
	values_add_text(&values, tokens->refresh_token);
	(void) statement_run_values(&statements[GRANT_NEW], &values);
}

/* Take an address whose code has come; false if it was taken before, or is too old. */
bool
app_authorization_take(int64 authorization_id, AppAuthorization *authorization)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum argument = Int64GetDatum(authorization_id);
	Record record;

	if (statement_run(&statements[AUTHORIZATION_TAKE], &argument, NULL) == 0)
		return false;
	MemoryContextSwitchTo(caller);
	record = statement_record(0);
	authorization->verifier = record_text(&record);
	authorization->redirect_uri = record_text(&record);
	authorization->scopes = PointerGetDatum(PG_DETOAST_DATUM_COPY(record_datum(&record)));
	return true;
}

/* Tell whoever waits for it what came of a code; NULL = a grant. */
void
app_authorization_end(int64 authorization_id, const char *problem)
{
	Values values = {0};

	values_add_int64(&values, authorization_id);
	values_add_text(&values, problem);
	(void) statement_run_values(&statements[AUTHORIZATION_END], &values);
}
