/*
 * metadata.c
 *	  Metadata that goes to Canopy with a consumer, and comes back with the pull.
 *
 * It travels in links, and through hands that are nobody's here, so nothing personal
 * may be in it.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/coerce.h"
#include "base/jsonb_get.h"
#include "canopy/metadata.h"
#include "privacy/personal.h"

/* Refuse a piece of metadata that looks personal. */
static void
check_value(const char *key, const JsonbValue *value)
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
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("metadata \"%s\" looks like %s", key, what),
						errhint("Put an id of your own there, and look the person up by it.")));
}

/* Refuse metadata that looks personal, at any depth. */
static void
check_all(const char *key, JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue inner;

	if (value->type != jbvBinary)
	{
		check_value(key, value);
		return;
	}
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &inner, false)) != WJB_DONE)
		if (token == WJB_VALUE || token == WJB_ELEM || token == WJB_KEY)
			check_value(key, &inner);
}

/* Refuse an object whose keys or values look personal.  Error: 22023. */
void
metadata_check(Jsonb *metadata)
{
	JsonWalk walk = walk_begin(&metadata->root);

	while (walk_next(&walk))
	{
		check_value("(key)", &walk.key);
		check_all(pnstrdup(walk.key.val.string.val, walk.key.val.string.len), &walk.value);
	}
}
