/*
 * params.c
 *	  The parameters and bodies of operations, built field by field.
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "api/params.h"

/* Parameters of an operation, built field by field. */
static void
param_add(JsonbParseState **state, const char *name, JsonbValue value)
{
	JsonbValue key = {.type = jbvString};

	if (*state == NULL)
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

void
param_add_text(JsonbParseState **state, const char *name, const char *text)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	param_add(state, name, value);
}

void
param_add_boolean(JsonbParseState **state, const char *name, bool boolean)
{
	JsonbValue value = {.type = jbvBool};

	value.val.boolean = boolean;
	param_add(state, name, value);
}

Jsonb *
params_finish(JsonbParseState **state)
{
	return JsonbValueToJsonb(pushJsonbValue(state, WJB_END_OBJECT, NULL));
}
