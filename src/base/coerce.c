/*
 * coerce.c
 *	  A JSON value as a value of a column, leniently but exactly.
 *
 * A value either fits without losing anything or it does not; nothing here
 * raises an error, looks anything up or depends on a setting, so that shredding
 * a version again gives the same rows.
 */
#include "postgres.h"

#include <ctype.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/coerce.h"
#include "base/json.h"

PG_FUNCTION_INFO_V1(canopy_summit_date_or_null);
PG_FUNCTION_INFO_V1(canopy_summit_time_or_null);

#define CENTS_MAX       INT64CONST(99999999999999) /* numeric(14,2) in cents */
#define TEXT_NUMBER_MAX 100                        /* characters of a number that arrives as text */

/* A scalar seen as text. */
typedef struct Text
{
	const char *bytes;
	int len;
} Text;

/* The kind of a column by its base type and name; COLUMN_UNSUPPORTED if JSON is not read into it. */
ColumnKind
coerce_kind(Oid type, const char *column)
{
	size_t len = strlen(column);

	switch (type)
	{
		case TEXTOID:
			return COLUMN_TEXT;
		case TEXTARRAYOID:
			return COLUMN_TEXT_ARRAY;
		case BOOLOID:
			return COLUMN_BOOLEAN;
		case INT4OID:
			return COLUMN_INTEGER;
		case INT8OID:
			return len > 6 && strcmp(column + len - 6, "_cents") == 0 ? COLUMN_CENTS
																	  : COLUMN_BIGINT;
		case NUMERICOID:
			return COLUMN_NUMERIC;
		case FLOAT8OID:
			return COLUMN_DOUBLE;
		case DATEOID:
			return COLUMN_DATE;
		case TIMESTAMPTZOID:
			return COLUMN_TIMESTAMPTZ;
		case JSONBOID:
			return COLUMN_JSONB;
		default:
			return COLUMN_UNSUPPORTED;
	}
}

/* The only element of an array of one, which some fields arrive as; else the value itself. */
static JsonbValue *
unwrap_single(JsonbValue *value)
{
	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
		JsonContainerSize(value->val.binary.data) == 1)
		return getIthJsonbValueFromContainer(value->val.binary.data, 0);
	return value;
}

/* A scalar as text; false for a container. */
static bool
scalar_text(const JsonbValue *value, Text *text)
{
	switch (value->type)
	{
		case jbvString:
			text->bytes = value->val.string.val;
			text->len = value->val.string.len;
			return true;
		case jbvNumeric:
			text->bytes = DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			text->len = strlen(text->bytes);
			return true;
		case jbvBool:
			text->bytes = value->val.boolean ? "true" : "false";
			text->len = strlen(text->bytes);
			return true;
		default:
			return false;
	}
}

/* Without the blanks around it. */
void
text_trim(const char **bytes, int *len)
{
	while (*len > 0 && isspace((unsigned char) **bytes))
		(*bytes)++, (*len)--;
	while (*len > 0 && isspace((unsigned char) (*bytes)[*len - 1]))
		(*len)--;
}

static Text
trim(Text text)
{
	text_trim(&text.bytes, &text.len);
	return text;
}

/* A whole number, with a fraction only if it is zero. */
static bool
coerce_int64(Text text, int64 *result)
{
	int i = 0;
	bool negative = false;
	uint64 number = 0;

	if (i < text.len && (text.bytes[i] == '-' || text.bytes[i] == '+'))
		negative = text.bytes[i++] == '-';
	if (i >= text.len || !isdigit((unsigned char) text.bytes[i]))
		return false;
	for (; i < text.len && isdigit((unsigned char) text.bytes[i]); i++)
	{
		int digit = text.bytes[i] - '0';

		if (number > ((uint64) PG_INT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	if (i < text.len && text.bytes[i] == '.')
		for (i++; i < text.len && text.bytes[i] == '0';)
			i++;
	*result = negative ? -(int64) number : (int64) number;
	return i == text.len;
}

/* Whether the text is a plain decimal number: sign, digits, fraction; no exponent. */
static bool
is_decimal(Text text)
{
	int i = 0;
	int digits = 0;

	if (i < text.len && (text.bytes[i] == '-' || text.bytes[i] == '+'))
		i++;
	for (; i < text.len && isdigit((unsigned char) text.bytes[i]); i++)
		digits++;
	if (i < text.len && text.bytes[i] == '.')
		for (i++; i < text.len && isdigit((unsigned char) text.bytes[i]); i++)
			digits++;
	return digits > 0 && i == text.len && text.len <= TEXT_NUMBER_MAX;
}

static bool
coerce_numeric(JsonbValue *value, Datum *result)
{
	Text text;

	if (value->type == jbvNumeric)
	{
		*result = NumericGetDatum(value->val.numeric);
		return true;
	}
	if (value->type != jbvString || !scalar_text(value, &text))
		return false;
	text = trim(text);
	if (text.len > 1 && text.bytes[text.len - 1] == '%')
		text.len--;
	if (!is_decimal(text))
		return false;
	*result = DirectFunctionCall3(numeric_in, CStringGetDatum(pnstrdup(text.bytes, text.len)),
								  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	return true;
}

static bool
coerce_boolean(Text text, Datum *result)
{
	static const char *const words[] = {"false", "true", "no", "yes", "0", "1", "n", "y", "f", "t"};

	for (int i = 0; i < lengthof(words); i++)
		if (strlen(words[i]) == text.len && pg_strncasecmp(words[i], text.bytes, text.len) == 0)
		{
			*result = BoolGetDatum(i % 2 == 1);
			return true;
		}
	return false;
}

/* Exactly `count` digits as a number; moves on past them. */
static bool
take_digits(const char **at, const char *end, int count, int *number)
{
	*number = 0;
	if (end - *at < count)
		return false;
	for (int i = 0; i < count; i++, (*at)++)
	{
		if (!isdigit((unsigned char) **at))
			return false;
		*number = *number * 10 + (**at - '0');
	}
	return true;
}

/* hh:mm[:ss[.fraction]] as microseconds since midnight. */
static bool
take_time(const char **at, const char *end, int64 *time)
{
	int hour, minute, second = 0;
	int64 fraction = 0;

	if (!take_digits(at, end, 2, &hour) || *at >= end || *(*at)++ != ':' ||
		!take_digits(at, end, 2, &minute))
		return false;
	if (*at < end && **at == ':')
	{
		(*at)++;
		if (!take_digits(at, end, 2, &second))
			return false;
		if (*at < end && (**at == '.' || **at == ','))
		{
			int64 weight = USECS_PER_SEC / 10;

			for ((*at)++; *at < end && isdigit((unsigned char) **at); (*at)++, weight /= 10)
				fraction += weight * (**at - '0');
		}
	}
	if (hour > 24 || minute > 59 || second > 60)
		return false;
	*time = ((hour * 60 + minute) * INT64CONST(60) + second) * USECS_PER_SEC + fraction;
	return *time <= USECS_PER_DAY;
}

/* Z, ±hh, ±hhmm or ±hh:mm as microseconds east of UTC; nothing means UTC. */
static bool
take_zone(const char **at, const char *end, int64 *zone)
{
	int hours, minutes = 0;
	bool west;

	*zone = 0;
	if (*at == end)
		return true;
	if (**at == 'Z' || **at == 'z')
	{
		(*at)++;
		return true;
	}
	if (**at != '+' && **at != '-')
		return false;
	west = *(*at)++ == '-';
	if (!take_digits(at, end, 2, &hours))
		return false;
	if (*at < end && **at == ':')
		(*at)++;
	if (*at < end && !take_digits(at, end, 2, &minutes))
		return false;
	if (hours > 15 || minutes > 59)
		return false;
	*zone = (hours * 60 + minutes) * INT64CONST(60) * USECS_PER_SEC * (west ? -1 : 1);
	return true;
}

/* YYYY-MM-DD with or without a time and zone, or MM/DD/YYYY, as the clock there says it, and how far east that is. */
static bool
coerce_clock(Text text, Timestamp *result, int64 *zone)
{
	const char *at = text.bytes;
	const char *end = text.bytes + text.len;
	int year, month, day;
	int64 time = 0;

	*zone = 0;
	if (text.len >= 10 && at[2] == '/')
	{
		if (!take_digits(&at, end, 2, &month) || *at++ != '/' || !take_digits(&at, end, 2, &day) ||
			*at++ != '/' || !take_digits(&at, end, 4, &year))
			return false;
	}
	else if (!take_digits(&at, end, 4, &year) || at >= end || *at++ != '-' ||
			 !take_digits(&at, end, 2, &month) || at >= end || *at++ != '-' ||
			 !take_digits(&at, end, 2, &day))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > day_tab[isleap(year)][month - 1])
		return false;
	if (at < end && (*at == 'T' || *at == 't' || *at == ' '))
	{
		at++;
		if (!take_time(&at, end, &time) || !take_zone(&at, end, zone))
			return false;
	}
	*result = (date2j(year, month, day) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY + time;
	return at == end;
}

/* The same as a moment in UTC. */
static bool
coerce_moment(Text text, Timestamp *result)
{
	int64 zone;

	if (!coerce_clock(text, result, &zone))
		return false;
	*result -= zone;
	return true;
}

/*
 * The day as written: Canopy sends US midnights in UTC (guide, quirk 26), of which the
 * UTC day is meant, and a time with an offset of its own means the day where it was written.
 */
static bool
coerce_date(Text text, Datum *result)
{
	Timestamp moment;
	int64 zone;
	int64 day;

	if (!coerce_clock(text, &moment, &zone))
		return false;
	day = moment / USECS_PER_DAY;
	if (moment % USECS_PER_DAY < 0)
		day--;
	*result = DateADTGetDatum((DateADT) day);
	return true;
}

/* An array of scalars, or one scalar as an array of one. */
static bool
coerce_text_array(JsonbValue *value, Datum *result)
{
	int count = 1;
	Datum *elements;
	bool *nulls;
	int dims[1];
	int lower[1] = {1};
	JsonbContainer *container = NULL;

	if (value->type == jbvBinary)
	{
		container = value->val.binary.data;
		if (!JsonContainerIsArray(container))
			return false;
		count = JsonContainerSize(container);
	}
	elements = palloc0(sizeof(Datum) * (count + 1));
	nulls = palloc0(sizeof(bool) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		JsonbValue *element = container ? getIthJsonbValueFromContainer(container, i) : value;
		Text text;

		nulls[i] = element->type == jbvNull;
		if (nulls[i])
			continue;
		if (!scalar_text(element, &text))
			return false;
		elements[i] = PointerGetDatum(cstring_to_text_with_len(text.bytes, text.len));
	}
	dims[0] = count;
	*result = PointerGetDatum(count == 0 ? construct_empty_array(TEXTOID)
										 : construct_md_array(elements, nulls, 1, dims, lower,
															  TEXTOID, -1, false, TYPALIGN_INT));
	return true;
}

/* Any value; a string that holds an object or array is read as that (guide, quirk 7). */
static bool
coerce_jsonb(JsonbValue *value, Datum *result)
{
	Jsonb *nested = NULL;

	if (value->type == jbvString)
		nested = json_read_nested(value->val.string.val, value->val.string.len);
	*result = JsonbPGetDatum(nested ? nested : JsonbValueToJsonb(value));
	return true;
}

/* A double that stands for the same decimal number, give or take its last digit. */
static bool
coerce_double(JsonbValue *value, Datum *result)
{
	Datum number;
	char *text;
	double parsed;

	if (!coerce_numeric(value, &number))
		return false;
	text = DatumGetCString(DirectFunctionCall1(numeric_out, number));
	errno = 0;
	parsed = strtod(text, NULL);
	if (errno == ERANGE || !isfinite(parsed))
		return false;
	*result = Float8GetDatum(parsed);
	return true;
}

/* The kinds that are read from a scalar's text. */
static bool
coerce_scalar(ColumnKind kind, Text text, Datum *result)
{
	int64 number;
	Timestamp moment;

	switch (kind)
	{
		case COLUMN_TEXT:
			*result = PointerGetDatum(cstring_to_text_with_len(text.bytes, text.len));
			return true;
		case COLUMN_BOOLEAN:
			return coerce_boolean(text, result);
		case COLUMN_INTEGER:
			if (!coerce_int64(text, &number) || number < PG_INT32_MIN || number > PG_INT32_MAX)
				return false;
			*result = Int32GetDatum((int32) number);
			return true;
		case COLUMN_BIGINT:
		case COLUMN_CENTS:
			if (!coerce_int64(text, &number) ||
				(kind == COLUMN_CENTS && (number > CENTS_MAX || number < -CENTS_MAX)))
				return false;
			*result = Int64GetDatum(number);
			return true;
		case COLUMN_DATE:
			return coerce_date(text, result);
		case COLUMN_TIMESTAMPTZ:
			if (!coerce_moment(text, &moment))
				return false;
			*result = TimestampTzGetDatum(moment);
			return true;
		default:
			return false;
	}
}

/*
 * Read a JSON value into a column of this kind, in the current memory context.
 * JSON null and the empty string are NULL.  False if it does not fit.
 */
bool
coerce_value(ColumnKind kind, JsonbValue *value, Datum *result, bool *isnull)
{
	JsonbValue *single;
	Text text;

	*isnull = value->type == jbvNull;
	if (*isnull)
		return true;
	if (value->type == jbvString && value->val.string.len == 0 && kind != COLUMN_JSONB)
	{
		*isnull = true;
		return true;
	}
	if (kind == COLUMN_JSONB)
		return coerce_jsonb(value, result);
	if (kind == COLUMN_TEXT_ARRAY)
		return coerce_text_array(value, result);
	single = unwrap_single(value);
	if (single != value)
		return coerce_value(kind, single, result, isnull);
	if (kind == COLUMN_NUMERIC)
		return coerce_numeric(value, result);
	if (kind == COLUMN_DOUBLE)
		return coerce_double(value, result);
	if (!scalar_text(value, &text))
		return false;
	return coerce_scalar(kind, kind == COLUMN_TEXT ? text : trim(text), result);
}

/* The text argument of a function as this kind; NULL if it does not fit. */
static Datum
coerce_argument(FunctionCallInfo fcinfo, ColumnKind kind)
{
	text *argument = PG_GETARG_TEXT_PP(0);
	JsonbValue value = {.type = jbvString};
	Datum result;
	bool isnull;

	value.val.string.val = VARDATA_ANY(argument);
	value.val.string.len = VARSIZE_ANY_EXHDR(argument);
	if (!coerce_value(kind, &value, &result, &isnull) || isnull)
		PG_RETURN_NULL();
	return result;
}

/* canopy_summit.time_or_null(value text) -> timestamptz */
Datum
canopy_summit_time_or_null(PG_FUNCTION_ARGS)
{
	return coerce_argument(fcinfo, COLUMN_TIMESTAMPTZ);
}

/* canopy_summit.date_or_null(value text) -> date */
Datum
canopy_summit_date_or_null(PG_FUNCTION_ARGS)
{
	return coerce_argument(fcinfo, COLUMN_DATE);
}
