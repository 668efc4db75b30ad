/*
 * link.c
 *	  The link a consumer opens to connect an insurance account.
 *
 * Metadata travels in the link and comes back with the pull, so nothing
 * personal may be in it: values that look personal are refused.
 */
#include "canopy_summit.h"

#include <ctype.h>

#include "operation.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(canopy_summit_connect_link);

/* somebody@host.tld, anywhere in the text */
static bool
looks_like_email(const char *text, int len)
{
	bool behind_at = false; /* in this run of visible characters */

	for (int i = 0; i < len; i++)
	{
		if (isspace((unsigned char) text[i]))
			behind_at = false;
		else if (text[i] == '@')
			behind_at |= i > 0 && !isspace((unsigned char) text[i - 1]);
		else if (text[i] == '.' && behind_at && text[i - 1] != '@' && i + 1 < len &&
				 isalpha((unsigned char) text[i + 1]))
			return true;
	}
	return false;
}

/*
 * What the digits of a text say that has nothing but digits and the marks
 * people put between them: a social security number (9 digits), or a telephone
 * number (10 digits of the North American plan, 11 with its 1, or + and more).
 */
static const char *
looks_like_number(const char *text, int len)
{
	char digits[16];
	int count = 0;
	bool plus = len > 0 && text[0] == '+';

	for (int i = 0; i < len; i++)
	{
		if (isdigit((unsigned char) text[i]) && count < 15)
			digits[count++] = text[i];
		else if (text[i] == '\0' || strchr(" ().-/+", text[i]) == NULL)
			return NULL;
	}
	if (count == 9 && digits[0] != '9' && strncmp(digits, "000", 3) != 0)
		return "a social security number";
	if (plus && count >= 8)
		return "a telephone number";
	if (count == 11 && digits[0] == '1')
		memmove(digits, digits + 1, --count);
	if (count == 10 && digits[0] >= '2' && digits[3] >= '2')
		return "a telephone number";
	return NULL;
}

/* Refuse a piece of metadata that looks personal. */
static void
metadata_check(const char *key, const JsonbValue *value)
{
	const char *what = NULL;
	const char *bytes;
	int len;

	if (value->type == jbvString)
	{
		bytes = value->val.string.val;
		len = value->val.string.len;
	}
	else if (value->type == jbvNumeric)
	{
		bytes =
			DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		len = strlen(bytes);
	}
	else
		return;
	while (len > 0 && isspace((unsigned char) *bytes))
		bytes++, len--;
	while (len > 0 && isspace((unsigned char) bytes[len - 1]))
		len--;
	what = looks_like_email(bytes, len) ? "an e-mail address" : looks_like_number(bytes, len);
	if (what != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("metadata \"%s\" looks like %s", key, what),
				 errhint("Put an id of your own into the link and look the person up by it.")));
}

/* Refuse metadata that looks personal, at any depth. */
static void
metadata_check_all(const char *key, JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue inner;

	if (value->type != jbvBinary)
	{
		metadata_check(key, value);
		return;
	}
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &inner, false)) != WJB_DONE)
		if (token == WJB_VALUE || token == WJB_ELEM || token == WJB_KEY)
			metadata_check(key, &inner);
}

/* Append the metadata as query parameters. */
static void
append_metadata(StringInfo link, const char *prefix, Jsonb *metadata)
{
	JsonbIterator *iterator = JsonbIteratorInit(&metadata->root);
	JsonbIteratorToken token;
	JsonbValue value;
	JsonbValue key = {.type = jbvNull};
	char separator = '?';

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		Datum datum;
		bool isnull;
		char *content;

		if (token == WJB_KEY)
		{
			key = value;
			metadata_check("(key)", &key);
		}
		if (token != WJB_VALUE || value.type == jbvNull)
			continue;
		metadata_check_all(pnstrdup(key.val.string.val, key.val.string.len), &value);
		if (value.type == jbvBinary)
			content = JsonbToCString(NULL, value.val.binary.data, value.val.binary.len);
		else
			content = coerce_value(COLUMN_TEXT, &value, &datum, &isnull) && !isnull
						  ? TextDatumGetCString(datum)
						  : "";
		appendStringInfoChar(link, separator);
		request_append_encoded(link, prefix, strlen(prefix));
		request_append_encoded(link, key.val.string.val, key.val.string.len);
		appendStringInfoChar(link, '=');
		request_append_encoded(link, content, strlen(content));
		separator = '&';
	}
}

/* canopy_connect_link(public_alias text, metadata jsonb, server name) -> text */
Datum
canopy_summit_connect_link(PG_FUNCTION_ARGS)
{
	Connection *connection =
		connection_open(PG_ARGISNULL(2) ? NULL : NameStr(*PG_GETARG_NAME(2)), PROVIDER_CANOPY);
	const char *alias =
		PG_ARGISNULL(0) ? connection->public_alias : text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *path = strchr(connection->base_url + strlen("https://"), '/');
	StringInfoData link;

	if (alias == NULL || *alias == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("there is no public alias for the link"),
						errhint("Pass one, or ALTER SERVER %s OPTIONS (ADD public_alias '…');",
								quote_identifier(connection->server))));
	initStringInfo(&link);
	appendBinaryStringInfo(&link, connection->base_url,
						   path ? path - connection->base_url : strlen(connection->base_url));
	appendStringInfoString(&link, "/c/");
	request_append_encoded(&link, alias, strlen(alias));
	if (!PG_ARGISNULL(1))
	{
		Jsonb *metadata = PG_GETARG_JSONB_P(1);

		if (!JB_ROOT_IS_OBJECT(metadata))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("metadata must be a JSON object")));
		append_metadata(&link, connection->link_metadata_prefix, metadata);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(link.data, link.len));
}
