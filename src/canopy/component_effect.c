/*
 * component_effect.c
 *	  Jobs with which a consumer connects an account: what they may send, and the
 *	  tokens that their answers bring.
 *
 * However a job is enqueued, it is checked here.  Tokens go out, never credentials: what
 * a person could have typed is refused before it is anywhere.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "canopy/component_effect.h"
#include "canopy/metadata.h"
#include "canopy/pull_token.h"
#include "canopy/servicing_effect.h"
#include "canopy/servicing_schema.h"
#include "credential/pull_jwt.h"
#include "engine/engine.h"
#include "engine/new_row.h"
#include "job/handler.h"
#include "job/secret.h"
#include "server/connection.h"

/* Characters of a token, as Canopy's components make them (operation post-connect). */
#define TOKEN_SHORTEST 5
#define TOKEN_LONGEST  200

/* Characters of what a consumer has agreed to (operation post-consent). */
#define LANGUAGE_LONGEST 1024

static void
field_refuse(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("body field \"%s\" %s", name, problem), errhint("%s", hint)));
}

/* A field that is a text; NULL if it is not there.  What is no text is for others to refuse. */
static const char *
field_text(Jsonb *body, const char *name)
{
	JsonbValue *value = body ? member_value(&body->root, name) : NULL;

	return value != NULL && value->type == jbvString
			   ? pnstrdup(value->val.string.val, value->val.string.len)
			   : NULL;
}

/* Refuse what is no token: too short, too long, or what a person types. */
static void
check_token(Jsonb *body, const char *name)
{
	const char *token = field_text(body, name);

	if (token == NULL)
		return;
	if (strlen(token) < TOKEN_SHORTEST || strlen(token) > TOKEN_LONGEST)
		field_refuse(name, "is no token: those have 5 to 200 characters",
					 "Canopy's components give a token for what a consumer has typed.");
	for (const char *c = token; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			field_refuse(name, "is no token: it has a blank, or a character that is not ASCII",
						 "Canopy's components give a token for what a consumer has typed.");
	if (strchr(token, '@') != NULL)
		field_refuse(name, "looks like an e-mail address, and not like a token",
					 "Send what Canopy's components give for it, never what a consumer has typed.");
}

/* Refuse a text that is blank, or longer than so many characters. */
static void
check_text(Jsonb *body, const char *name, int longest)
{
	const char *text = field_text(body, name);

	if (text == NULL)
		return;
	if (text[strspn(text, " \t\r\n")] == '\0')
		field_refuse(name, "is blank", "Say what it is.");
	if (pg_mbstrlen(text) > longest)
		field_refuse(name, psprintf("is longer than %d characters", longest),
					 "Shorten it: it is kept as it is sent.");
}

/* Put the server's public alias into a body that has none. */
static void
fill_alias(NewRow *row, const Connection *connection)
{
	Jsonb *body = new_row_json(row, "body");
	JsonBuilder alias = {0};

	if (member_value(&body->root, "public_alias") != NULL)
		return;
	connection_require(connection, "public_alias", connection->public_alias, "…");
	builder_add_text(&alias, "public_alias", connection->public_alias);
	new_row_put(row, "body",
				DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(body),
									JsonbPGetDatum(builder_finish_object(&alias))));
}

/* The body of a row, if it is an object; NULL if it is not. */
static Jsonb *
row_body(const NewRow *row)
{
	Jsonb *body = new_row_is_null(row, "body") ? NULL : new_row_json(row, "body");

	return body != NULL && JB_ROOT_IS_OBJECT(body) ? body : NULL;
}

/* Refuse what are no tokens among what a consumer logs in with. */
static void
check_login(Jsonb *body)
{
	check_token(body, "insurerUsername");
	check_token(body, "insurerPassword");
	check_token(body, "insurerThirdField");
}

/* JobHandler.fill: what a consumer has agreed to, and logs in with. */
void
consent_fill(NewRow *row, const Connection *connection)
{
	Jsonb *body = row_body(row);
	JsonbValue *actions;
	JsonbValue *metadata;

	if (body == NULL)
		return;
	check_text(body, "device_identifier", LANGUAGE_LONGEST);
	check_text(body, "consent_language", LANGUAGE_LONGEST);
	check_login(body);
	actions = member_value(&body->root, "servicing_actions");
	metadata = member_value(&body->root, "meta_data");
	if (value_is_array(actions))
		servicing_check_actions(JsonbValueToJsonb(actions));
	if (value_is_object(metadata))
		metadata_check(JsonbValueToJsonb(metadata));
	if (strcmp(new_row_text(row, "operation"), "post-consent") != 0)
		fill_alias(row, connection);
}

/* JobHandler.fill: of a job that is sent with the token of its pull.  Error 55000: none is known. */
static void
pull_fill(NewRow *row, const Connection *connection)
{
	Jsonb *params = new_row_json(row, "params");
	Jsonb *body = row_body(row);
	const char *pull_id = JB_ROOT_IS_OBJECT(params) ? json_text_field(params, "pullId") : NULL;
	Engine engine;
	bool is_known;

	check_login(body);
	check_text(body, "optionKey", TOKEN_LONGEST);
	check_text(body, "mfaValue", TOKEN_LONGEST);
	if (pull_id == NULL || json_text_field(params, PULL_JWT_PARAM) != NULL)
		return;
	engine_begin(&engine);
	is_known = pull_jwt_is_known(connection->server_oid, pull_id);
	engine_end(&engine);
	if (!is_known)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("there is no token for pull \"%s\"", pull_id),
						errhint("It comes with the answer to what makes a pull, such as "
								"canopy_consent_and_connect(), and is in no dump: what another "
								"database has begun goes on there.")));
}

/* JobHandler.succeeded: of post-consent, whose token is for the browser. */
static void
consented(List *settlements)
{
	secrets_keep(settlements, "consent_token");
}

/* From _PG_init(). */
void
component_effect_register(void)
{
	static const JobHandler handlers[] = {
		{.operation = "post-consent", .fill = consent_fill, .succeeded = consented},
		/* It may ask for servicing. */
		{.operation = "post-consent-and-connect",
		 .fill = consent_fill,
		 .succeeded = servicings_created},
		{.operation = "post-policy-search", .fill = consent_fill, .succeeded = pull_tokens_keep},
		{.operation = "post-reconnect-token", .succeeded = pull_tokens_keep},
		{.operation = "post-connect", .fill = pull_fill},
		{.operation = "post-idvoptions", .fill = pull_fill},
		{.operation = "post-idv", .fill = pull_fill},
		{.operation = "post-servicing-action", .fill = pull_fill},
	};

	for (int i = 0; i < lengthof(handlers); i++)
		handler_register(&handlers[i]);
}
