/*
 * header.c
 *	  HTTP headers of a webhook, as they are read and as they are kept.
 */
#include "header.h"

static bool
is_name(const JsonbValue *key, const char *name)
{
	return key->val.string.len == strlen(name) &&
		   pg_strncasecmp(key->val.string.val, name, strlen(name)) == 0;
}

/*
 * The one header of this name, in whatever case, as a text of the current
 * memory context.  NULL if there is none, or more than one.
 */
const char *
header_find(Jsonb *headers, const char *name)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	const char *found = NULL;
	int count = 0;
	bool is_wanted = false;

	if (headers == NULL || !JB_ROOT_IS_OBJECT(headers))
		return NULL;
	iterator = JsonbIteratorInit(&headers->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			is_wanted = is_name(&value, name);
		else if (token == WJB_VALUE && is_wanted)
		{
			count++;
			if (value.type == jbvString)
				found = pnstrdup(value.val.string.val, value.val.string.len);
		}
	}
	return count == 1 ? found : NULL;
}

/* Whether a header may be what a proxy or a client has logged in with. */
static bool
is_credential(const JsonbValue *key)
{
	static const char *const names[] = {"authorization", "proxy-authorization", "cookie"};

	for (int i = 0; i < lengthof(names); i++)
		if (is_name(key, names[i]))
			return true;
	return false;
}

static bool
has_credentials(Jsonb *headers)
{
	JsonbIterator *iterator = JsonbIteratorInit(&headers->root);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY && is_credential(&value))
			return true;
	return false;
}

/* Headers, an object, with "***" in the place of credentials. */
Jsonb *
header_hide_credentials(Jsonb *headers)
{
	JsonbIterator *iterator;
	JsonbParseState *state = NULL;
	JsonbValue *result = NULL;
	JsonbIteratorToken token;
	JsonbValue value;
	JsonbValue hidden = {.type = jbvString, .val.string = {.val = "***", .len = 3}};
	bool hide = false;

	if (!has_credentials(headers))
		return headers;
	iterator = JsonbIteratorInit(&headers->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			hide = is_credential(&value);
		else if (token == WJB_VALUE && hide)
			value = hidden;
		result = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	return JsonbValueToJsonb(result);
}
