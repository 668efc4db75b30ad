/*
 * link.c
 *	  The link a consumer opens to connect an insurance account.
 *
 * Metadata travels in the link and comes back with the pull, so nothing
 * personal may be in it: values that look personal are refused.
 */
#include "canopy_summit.h"

#include <ctype.h>

#include "confidential.h"
#include "operation.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

CONFIDENTIAL_FUNCTION(canopy_summit_connect_link);

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

/* Groups of digits with nothing but the marks between them that people write into numbers. */
typedef struct Digits
{
	int groups[5]; /* digits in each */
	int count;     /* of groups */
	int area;      /* the first three digits */
	int exchange;  /* the fourth */
	bool plus;
	bool whole; /* they are the whole text */
} Digits;

/* Take the groups at *at, and move behind them. */
static Digits
take_groups(const char *text, int len, int *at)
{
	Digits digits = {0};
	int start = *at;
	int total = 0;

	digits.plus = start > 0 && text[start - 1] == '+';
	for (int i = start; i < len && (isdigit((unsigned char) text[i]) || strchr(" ().-/", text[i]));
		 i++)
	{
		if (text[i] == '\0' || !isdigit((unsigned char) text[i]))
			continue;
		if (digits.count == 0 || !isdigit((unsigned char) text[i - 1]))
			digits.count++;
		if (digits.count <= lengthof(digits.groups))
			digits.groups[digits.count - 1]++;
		if (++total <= 3)
			digits.area = digits.area * 10 + (text[i] - '0');
		else if (total == 4)
			digits.exchange = text[i] - '0';
		*at = i + 1;
	}
	digits.whole = *at == len && strspn(text, " (+") >= start;
	return digits;
}

static bool
groups_are(const Digits *digits, int count, const int *groups)
{
	return digits->count == count && memcmp(digits->groups, groups, sizeof(int) * count) == 0;
}

/*
 * What groups of digits look like: a social security number (3-2-4, or 9 alone)
 * or a telephone number (3-3-4 with or without a 1 before it, 10 alone as in the
 * North American plan, or + and more).  Dates, ZIP codes and ids do not.
 */
static const char *
groups_look_like(const Digits *digits)
{
	if (groups_are(digits, 3, (int[]){3, 2, 4}) ||
		(digits->whole && groups_are(digits, 1, (int[]){9}) && digits->area > 0 &&
		 digits->area < 900))
		return "a social security number";
	if (groups_are(digits, 3, (int[]){3, 3, 4}) || groups_are(digits, 4, (int[]){1, 3, 3, 4}) ||
		groups_are(digits, 2, (int[]){3, 7}) || groups_are(digits, 2, (int[]){6, 4}))
		return "a telephone number";
	if (digits->plus && digits->count <= lengthof(digits->groups) &&
		digits->groups[0] + digits->groups[1] + digits->groups[2] + digits->groups[3] +
				digits->groups[4] >=
			8)
		return "a telephone number";
	if (digits->whole && groups_are(digits, 1, (int[]){10}) && digits->area >= 200 &&
		digits->exchange >= 2)
		return "a telephone number";
	if (digits->whole && groups_are(digits, 1, (int[]){11}) && digits->area / 100 == 1)
		return "a telephone number";
	return NULL;
}

/* Whether the digits at `at` go on what comes before them, as in A415 or L-42. */
static bool
is_continued(const char *text, int at)
{
	return (at > 0 && isalnum((unsigned char) text[at - 1])) ||
		   (at > 1 && strchr("-_/", text[at - 1]) != NULL && isalnum((unsigned char) text[at - 2]));
}

/* What the first digits in a text that look personal look like; NULL = none do. */
static const char *
looks_like_number(const char *text, int len)
{
	for (int i = 0; i < len; i++)
	{
		Digits digits;
		const char *what;

		if (!isdigit((unsigned char) text[i]) || is_continued(text, i))
			continue;
		digits = take_groups(text, len, &i);
		if (i < len && isalpha((unsigned char) text[i]))
			continue;
		what = groups_look_like(&digits);
		if (what != NULL)
			return what;
	}
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
static Datum
canopy_summit_connect_link_confidential(PG_FUNCTION_ARGS)
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
