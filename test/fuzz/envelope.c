/*
 * envelope.c
 *	  Can the body of a webhook harm who reads it, or get anything past
 *	  json_read() that jsonb could not hold?
 *
 * jsonb itself is PostgreSQL's: what it would be given is checked here, and then
 * an empty object takes its place.
 *
 * Links src/webhook/envelope.c src/base/digest.c src/base/json.c src/base/jsonb_get.c src/base/number.c -lcrypto
 */
#include "stub.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "base/json.h"
#include "webhook/envelope.h"

static int depth;

static void
enter(void *state)
{
	if (++depth > JSON_MAX_DEPTH)
		stub_fail("nested deeper than %d", JSON_MAX_DEPTH);
}

static void
leave(void *state)
{
	depth--;
}

/* A string as jsonb would hold it: no byte 0, and UTF-8. */
static void
check_scalar(void *state, char *token, JsonTokenType type)
{
	if (type == JSON_TOKEN_STRING &&
		pg_encoding_verifymbstr(PG_UTF8, token, (int) strlen(token)) != (int) strlen(token))
		stub_fail("a string is no UTF-8");
	if (type == JSON_TOKEN_NUMBER && strlen(token) > 3000)
		stub_fail("a number has %zu characters", strlen(token));
}

static JsonLexContext *
lexer_of(const char *text, bool unescape)
{
	return makeJsonLexContextCstringLen(unconstify(char *, text), strlen(text), PG_UTF8, unescape);
}

/*
 * What jsonb_in() does first: an error for what is not JSON.  It would raise
 * another for what it cannot hold, and that must not come so far.
 */
static void
check_json(const char *text)
{
	JsonSemAction check = {.object_start = enter,
						   .object_end = leave,
						   .array_start = enter,
						   .array_end = leave,
						   .scalar = check_scalar};

	if (pg_parse_json(lexer_of(text, false), &nullSemAction) != JSON_SUCCESS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("not JSON")));
	depth = 0;
	if (pg_parse_json(lexer_of(text, true), &check) != JSON_SUCCESS)
		stub_fail("jsonb would refuse: %s", text);
}

/* Stands in for the call of jsonb_in(). */
Datum
DirectFunctionCall1Coll(PGFunction function, Oid collation, Datum argument)
{
	static const uint32 empty[] = {(uint32) (8 << 2), JB_FOBJECT};

	check_json(DatumGetCString(argument));
	return PointerGetDatum(memcpy(palloc(sizeof(empty)), empty, sizeof(empty)));
}

/* The object is empty. */
JsonbValue *
getKeyJsonValueFromContainer(JsonbContainer *container, const char *key, int len,
							 JsonbValue *result)
{
	return NULL;
}

int
LLVMFuzzerTestOneInput(const uint8 *input, size_t len)
{
	char *body = memcpy(palloc(len), input, len);
	Envelope envelope;

	envelope_read(PROVIDER_CANOPY, body, len, &envelope);
	envelope_read(PROVIDER_SUMMIT, body, len, &envelope);
	if (envelope.problem == NULL)
		stub_fail("an empty object was read as an event");
	stub_reset();
	return 0;
}
