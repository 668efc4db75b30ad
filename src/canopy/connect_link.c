/*
 * connect_link.c
 *	  The link a consumer opens to connect an insurance account.
 *
 * Metadata travels in the link and comes back with the pull (metadata.c).
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/coerce.h"
#include "base/confidential.h"
#include "base/jsonb_get.h"
#include "canopy/metadata.h"
#include "http/url.h"
#include "server/connection.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_connect_link);

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

		if (value->type == jbvNull)
			continue;
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
		metadata_check(metadata);
		append_metadata(&link, connection->link_metadata_prefix, metadata);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(link.data, link.len));
}
