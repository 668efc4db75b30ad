/*
 * token.c
 *	  Access tokens of Summit: OAuth 2.0 client credentials.
 *
 * A token lives in the worker's memory only, belongs to one credential, is
 * renewed before it ends, and is asked for once however many jobs wait for it.
 */
#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "api/failure.h"
#include "api/operation.h"
#include "api/request.h"
#include "base/coerce.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "credential/credential.h"
#include "credential/token.h"
#include "http/transfer.h"
#include "server/connection.h"
#include "server/provider.h"

#define TOKEN_EARLY        60 /* s before its end that a token is no longer used, at most half its life */
#define TOKEN_DEFAULT_LIFE 3600 /* s, where the answer does not say */
#define TOKEN_LONGEST_LIFE (24 * 60 * 60)
#define TOKEN_MAX_LENGTH   8192

/* Whether the credential has a token that can still be sent. */
bool
token_is_fresh(const Credential *credential, TimestampTz now)
{
	return credential->token != NULL && now < credential->token_until;
}

/* The request for a token, in the current memory context.  Errors: those of request_build(). */
HttpRequest *
token_http_request(const Connection *connection)
{
	JsonBuilder builder = {0};

	builder_add_text(&builder, "grant_type", "client_credentials");
	builder_add_text(&builder, "scope", connection->scope);
	return request_build(connection, operation_find("create-token", PROVIDER_SUMMIT), NULL,
						 builder_finish_object(&builder), NIL);
}

/* Whether the text can be sent in a header. */
bool
token_is_fit(const char *token)
{
	if (token == NULL || *token == '\0' || strlen(token) > TOKEN_MAX_LENGTH)
		return false;
	for (const char *c = token; *c; c++)
		if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f)
			return false;
	return true;
}

/* The life of a token in seconds, as the answer says it. */
static int64
token_life(Jsonb *answer)
{
	JsonbValue *value = member_value(&answer->root, "expires_in");
	Datum seconds;
	bool isnull;

	if (value == NULL || !coerce_value(COLUMN_BIGINT, value, &seconds, &isnull) || isnull)
		return TOKEN_DEFAULT_LIFE;
	return Max(0, Min(DatumGetInt64(seconds), TOKEN_LONGEST_LIFE));
}

/* Until when a token is sent that this answer has brought. */
TimestampTz
token_end(Jsonb *answer, TimestampTz now)
{
	int64 life = token_life(answer);

	return TimestampTzPlusMilliseconds(now, 1000 * (life - Min(TOKEN_EARLY, life / 2)));
}

/* Take the answer to token_http_request(); NULL, or why there is no token. */
Failure *
token_take(Credential *credential, const HttpResponse *response, TimestampTz now)
{
	const Operation *operation = operation_find("create-token", PROVIDER_SUMMIT);
	Failure *failure = NULL;
	Answer *answer = answer_read(operation, response, &failure);
	const char *token;

	if (answer == NULL)
	{
		credential_forget_token(credential);
		return failure;
	}
	token = json_text_field(answer->json, "access_token");
	if (!token_is_fit(token))
		return failure_describe_unreadable(response, "without a usable access_token");
	credential_take_token(credential, token, token_end(answer->json, now));
	return NULL;
}
