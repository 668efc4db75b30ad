/*
 * connect_link.c
 *	  The link a consumer opens to connect an insurance account.
 *
 * Metadata travels in the link and comes back with the pull, so nothing
 * personal may be in it: values that look personal are refused.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/coerce.h"
#include "base/confidential.h"
#include "base/jsonb_get.h"
#include "http/url.h"
#include "privacy/personal.h"
#include "server/connection.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_connect_link);

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
	text_trim(&bytes, &len);
	what = personal_find(bytes, len);
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
	JsonWalk walk = walk_begin(&metadata->root);
	JsonbValue *key = &walk.key;
	JsonbValue *value = &walk.value;
	char separator = '?';

	while (walk_next(&walk))
	{
		Datum datum;
		bool isnull;
		char *content;

		metadata_check("(key)", key);
		if (value->type == jbvNull)
			continue;
		metadata_check_all(pnstrdup(key->val.string.val, key->val.string.len), value);
		if (value->type == jbvBinary)
			content = JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		else
			content = coerce_value(COLUMN_TEXT, value, &datum, &isnull) && !isnull
						  ? TextDatumGetCString(datum)
						  : "";
		appendStringInfoChar(link, separator);
		url_append_encoded(link, prefix, strlen(prefix));
		url_append_encoded(link, key->val.string.val, key->val.string.len);
		appendStringInfoChar(link, '=');
		url_append_encoded(link, content, strlen(content));
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
	url_append_encoded(&link, alias, strlen(alias));
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
