/*
 * redact.c
 *	  How what is secret leaves what is kept: parameters of jobs that have ended,
 *	  and fields of answers.
 *
 * What a job sends is secret by the catalogue; what it is answered, by the name
 * of the field.  A secret that stands in another text of the answer, such as a
 * link that carries it, is taken out there as well.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"

#include "api/operation.h"
#include "api/redact.h"
#include "base/jsonb_build.h"

PG_FUNCTION_INFO_V1(canopy_summit_job_keeps);
PG_FUNCTION_INFO_V1(canopy_summit_sends_secrets);

#define REDACTED   "***"
#define SECRET_MIN 8 /* bytes; a shorter text is not looked for in others */

/* The value without the parameters of the operation that are secret. */
static Datum
without_secrets(const Operation *operation, Datum value)
{
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
		if (param->secret)
			value = DirectFunctionCall2(jsonb_delete, value, CStringGetTextDatum(param->name));
	return value;
}

static bool
sends_secrets(const Operation *operation)
{
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
		if (param->secret)
			return true;
	return false;
}

/*
 * canopy_summit.job_keeps(state text, operation text, value jsonb) -> jsonb
 *
 * A value that stays is returned as it came, maybe out of line.  Of an operation
 * that this version does not know, everything goes that is secret in any other.
 */
Datum
canopy_summit_job_keeps(PG_FUNCTION_ARGS)
{
	const char *state = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const Operation *operation = operation_lookup(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	Datum value = PG_GETARG_DATUM(2);

	if ((strcmp(state, "succeeded") != 0 && strcmp(state, "failed") != 0 &&
		 strcmp(state, "cancelled") != 0) ||
		(operation != NULL && !sends_secrets(operation)) ||
		!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(2)))
		PG_RETURN_DATUM(value);
	if (operation != NULL)
		return without_secrets(operation, value);
	for (int i = 0; i < operation_count; i++)
		value = without_secrets(&operation_table[i], value);
	return value;
}

/* canopy_summit.sends_secrets(operation text) -> boolean */
Datum
canopy_summit_sends_secrets(PG_FUNCTION_ARGS)
{
	const Operation *operation = operation_lookup(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(operation != NULL && sends_secrets(operation));
}

/* Names whose values are secret wherever they appear in an answer. */
static bool
is_secret_name(const char *name, int len)
{
	static const char *const words[] = {"token", "secret", "jwt", "password", "api_key", "apikey"};
	char *lower = asc_tolower(name, len);

	for (int i = 0; i < lengthof(words); i++)
		if (strstr(lower, words[i]) != NULL)
			return true;
	return false;
}

/* Add the texts of a secret value, which may be an object or an array, to a List of char *. */
static List *
secrets_add(List *secrets, const JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue part;

	if (value->type == jbvString && value->val.string.len >= SECRET_MIN)
		return lappend(secrets, pnstrdup(value->val.string.val, value->val.string.len));
	if (value->type != jbvBinary)
		return secrets;
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
		if (token == WJB_VALUE || token == WJB_ELEM)
			secrets = secrets_add(secrets, &part);
	return secrets;
}

/* The secrets of an answer. */
static List *
secrets_collect(Jsonb *answer)
{
	JsonbIterator *iterator = JsonbIteratorInit(&answer->root);
	JsonbIteratorToken token;
	JsonbValue value;
	List *secrets = NIL;
	bool is_secret = false;

	while ((token = JsonbIteratorNext(&iterator, &value, is_secret)) != WJB_DONE)
	{
		if (token == WJB_VALUE && is_secret)
			secrets = secrets_add(secrets, &value);
		is_secret = token == WJB_KEY && is_secret_name(value.val.string.val, value.val.string.len);
	}
	return secrets;
}

/* The text with every percent-encoded byte decoded. */
static char *
percent_decode(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *c = text; *c != '\0'; c++)
	{
		char digits[3] = {c[1], c[1] ? c[2] : '\0', '\0'};

		if (*c == '%' && isxdigit((unsigned char) digits[0]) && isxdigit((unsigned char) digits[1]))
		{
			appendStringInfoChar(&out, (char) strtol(digits, NULL, 16));
			c += 2;
		}
		else
			appendStringInfoChar(&out, *c);
	}
	return out.data;
}

/* Whether one of the secrets is in the text. */
static bool
has_secret(List *secrets, const char *text)
{
	ListCell *cell;

	foreach(cell, secrets)
		if (strstr(text, lfirst(cell)) != NULL)
			return true;
	return false;
}

/* The text of a link without the values of its parameters that are secret by their names. */
static char *
link_redact(const char *link)
{
	StringInfoData out;
	size_t name = 0; /* bytes of a name before here */

	initStringInfo(&out);
	for (const char *c = link; *c != '\0'; c++)
	{
		appendStringInfoChar(&out, *c);
		if (*c == '=' && is_secret_name(c - name, name) && c[1] != '\0')
		{
			appendStringInfoString(&out, REDACTED);
			c += strcspn(c + 1, "&#; ");
		}
		name = isalnum((unsigned char) *c) || strchr("_-.[]%", *c) != NULL ? name + 1 : 0;
	}
	return out.data;
}

/* A text of the answer as it is kept. */
static JsonbValue
text_redact(List *secrets, const JsonbValue *value)
{
	JsonbValue result = *value;
	char *kept = pnstrdup(value->val.string.val, value->val.string.len);
	ListCell *cell;

	if (strstr(kept, "://") != NULL)
		kept = link_redact(kept);
	foreach(cell, secrets)
		if (strstr(kept, lfirst(cell)) != NULL)
			kept = TextDatumGetCString(DirectFunctionCall3Coll(replace_text, C_COLLATION_OID,
															   CStringGetTextDatum(kept),
															   CStringGetTextDatum(lfirst(cell)),
															   CStringGetTextDatum(REDACTED)));
	result.val.string.val = has_secret(secrets, percent_decode(kept)) ? REDACTED : kept;
	result.val.string.len = strlen(result.val.string.val);
	return result;
}

/* The answer, in which the values of secret fields are redacted, and these values wherever else they stand. */
Jsonb *
redact_answer(Jsonb *answer)
{
	List *secrets = secrets_collect(answer);
	JsonbIterator *iterator = JsonbIteratorInit(&answer->root);
	JsonBuilder builder = {0};
	JsonbIteratorToken token;
	JsonbValue value;
	bool is_secret = false;

	while ((token = JsonbIteratorNext(&iterator, &value, is_secret)) != WJB_DONE)
	{
		bool was_secret = is_secret;
		bool has_value = token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM;

		is_secret = token == WJB_KEY && is_secret_name(value.val.string.val, value.val.string.len);
		if (token == WJB_VALUE && was_secret)
			value = text_value(REDACTED);
		else if (has_value && value.type == jbvString)
			value = text_redact(secrets, &value);
		builder_copy(&builder, token, &value);
	}
	return builder_finish(&builder);
}
