/*
 * number.c
 *	  Numbers that no column holds: each is a string from the moment it comes in,
 *	  as it came, so that five bytes never become thousands of digits.
 *
 * Bytes are judged while they are parsed (json_parse.c); jsonb that somebody else has
 * parsed is judged by value, and by the same rule.
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/json.h"
#include "base/jsonb_build.h"
#include "base/number.h"

#define EXPONENT_MAX \
	10000 /* beyond it only zeros would be within, and PostgreSQL has limits of its own */

/* What a JSON number is made of. */
typedef struct Parts
{
	int whole; /* digits before the point, without zeros in front */
	int zeros; /* after the point, before the first other digit */
	bool is_zero;
	int fraction; /* digits after the point */
	long exponent;
} Parts;

static Parts
number_parts(const char *number, int len)
{
	Parts parts = {0};
	bool behind_point = false;

	parts.is_zero = true;
	for (int i = 0; i < len; i++)
	{
		if (number[i] == 'e' || number[i] == 'E')
		{
			char *digits = pnstrdup(number + i + 1, len - i - 1);

			parts.exponent = strtol(digits, NULL, 10); /* saturates */
			pfree(digits);
			break;
		}
		if (number[i] == '.')
			behind_point = true;
		if (!isdigit((unsigned char) number[i]))
			continue;
		parts.is_zero &= number[i] == '0';
		parts.whole += !behind_point && !parts.is_zero;
		parts.zeros += behind_point && parts.is_zero;
		parts.fraction += behind_point;
	}
	return parts;
}

/* Whether a JSON number would take more than NUMBER_MAX_DIGITS on a side of its point to write out. */
bool
number_is_beyond(const char *number, int len)
{
	Parts parts = number_parts(number, len);

	if (parts.exponent > EXPONENT_MAX || parts.exponent < -EXPONENT_MAX)
		return true;
	if (parts.fraction - parts.exponent > NUMBER_MAX_DIGITS)
		return true;
	return !parts.is_zero &&
		   (parts.whole > 0 ? parts.whole : -parts.zeros) + parts.exponent > NUMBER_MAX_DIGITS;
}

/* The least whole number that is beyond, or its negative; kept for the process. */
static Numeric
number_limit(bool negative)
{
	static Numeric limits[2] = {NULL, NULL};

	if (limits[negative] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
		char *text = psprintf("%s1e%d", negative ? "-" : "", NUMBER_MAX_DIGITS);

		limits[negative] =
			DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		MemoryContextSwitchTo(old);
	}
	return limits[negative];
}

/*
 * Whether a value is surely within, by its header alone: of the short format, which
 * numbers have on disk, with at most 24 groups of four digits after the first and
 * a scale of six bits.  Every number of every pull is asked about.
 */
static bool
number_is_small(Numeric value)
{
	uint16 header;

	memcpy(&header, VARDATA_ANY(value), sizeof(header));
	return (header & 0xC000) == 0x8000 && ((header & 0x0040) != 0 || (header & 0x003F) <= 24);
}

/* The same of a value. */
bool
number_value_is_beyond(Numeric value)
{
	Datum number = NumericGetDatum(value);

	if (number_is_small(value))
		return false;
	return DatumGetInt32(DirectFunctionCall1(numeric_scale, number)) > NUMBER_MAX_DIGITS ||
		   DatumGetBool(
			   DirectFunctionCall2(numeric_ge, number, NumericGetDatum(number_limit(false)))) ||
		   DatumGetBool(
			   DirectFunctionCall2(numeric_le, number, NumericGetDatum(number_limit(true))));
}

/* A value in the shortest way to write it: 1e999, or all of its digits. */
static char *
number_text(Numeric value)
{
	char *plain = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value)));
	int first = -1;
	int last = 0;
	int significant = 0;
	char *scientific;
	char *plus;

	for (int i = 0, digits = 0; plain[i] != '\0'; i++)
	{
		if (!isdigit((unsigned char) plain[i]))
			continue;
		digits++;
		if (plain[i] == '0')
			continue;
		if (first < 0)
			first = digits;
		last = digits;
	}
	significant = first < 0 ? 1 : last - first + 1;
	scientific = numeric_out_sci(value, significant - 1);
	plus = strchr(scientific, '+');
	if (plus != NULL)
		memmove(plus, plus + 1, strlen(plus));
	if (strlen(scientific) >= strlen(plain))
	{
		pfree(scientific);
		return plain;
	}
	pfree(plain);
	return scientific;
}

/* Where in a document the walk is. */
typedef struct Path
{
	StringInfoData text;
	int lengths[JSON_MAX_DEPTH + 2]; /* of the text before each open container */
	int depth;
} Path;

/* Follow one token of the walk. */
static void
path_move(Path *path, JsonbIteratorToken token, const JsonbValue *value)
{
	switch (token)
	{
		case WJB_BEGIN_ARRAY:
		case WJB_BEGIN_OBJECT:
			path->lengths[path->depth++] = path->text.len;
			if (token == WJB_BEGIN_ARRAY)
				appendStringInfoString(&path->text, "[]");
			break;
		case WJB_END_ARRAY:
		case WJB_END_OBJECT:
			path->text.len = path->lengths[--path->depth];
			break;
		case WJB_KEY:
			path->text.len = path->lengths[path->depth - 1];
			appendStringInfo(&path->text, "%s%s", path->text.len > 0 ? "." : "",
							 json_key_label(value->val.string.val, value->val.string.len));
			break;
		default:
			break;
	}
	path->text.data[path->text.len] = '\0';
}

/*
 * A document with every number that is beyond as a string, in the current memory
 * context; the paths are added to *replaced.  The caller has checked its depth.
 */
Jsonb *
number_spell(Jsonb *json, List **replaced)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonBuilder builder = {0};
	JsonbIteratorToken token;
	JsonbValue value;
	Path *path = palloc0(sizeof(Path));

	initStringInfo(&path->text);
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		path_move(path, token, &value);
		if ((token == WJB_ELEM || token == WJB_VALUE) && value.type == jbvNumeric &&
			number_value_is_beyond(value.val.numeric))
		{
			value = text_value(number_text(value.val.numeric));
			*replaced = json_add_path(*replaced, path->text.data);
		}
		builder_copy(&builder, token, &value);
	}
	return builder_finish(&builder);
}
