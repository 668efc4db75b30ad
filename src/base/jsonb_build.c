/*
 * jsonb_build.c
 *	  JSON documents, built piece by piece: the one place that calls
 *	  pushJsonbValue(), which differs between majors of PostgreSQL.
 */
#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/jsonb_build.h"

/* Put a token; only a key, a value and an element have a value, which may be a whole document. */
void
builder_put(JsonBuilder *builder, JsonbIteratorToken token, const JsonbValue *value)
{
	builder->has_begun = true;
#if PG_VERSION_NUM >= 190000
	pushJsonbValue(&builder->state, token, unconstify(JsonbValue *, value));
#else
	builder->result = pushJsonbValue(&builder->state, token, unconstify(JsonbValue *, value));
#endif
}

/* A text as a JSON string, which is the same memory. */
JsonbValue
text_value(const char *text)
{
	return (JsonbValue){.type = jbvString,
						.val.string = {.val = unconstify(char *, text), .len = strlen(text)}};
}

void
builder_put_text(JsonBuilder *builder, JsonbIteratorToken token, const char *text)
{
	JsonbValue value = text_value(text);

	builder_put(builder, token, &value);
}

/* Add a member to the object that is open; with the first of all, the document begins as an object. */
void
builder_add(JsonBuilder *builder, const JsonbValue *key, const JsonbValue *value)
{
	if (!builder->has_begun)
		builder_begin_object(builder);
	builder_put(builder, WJB_KEY, key);
	builder_put(builder, WJB_VALUE, value);
}

void
builder_add_text(JsonBuilder *builder, const char *key, const char *text)
{
	JsonbValue name = text_value(key);
	JsonbValue value = text_value(text);

	builder_add(builder, &name, &value);
}

void
builder_add_boolean(JsonBuilder *builder, const char *key, bool boolean)
{
	JsonbValue name = text_value(key);
	JsonbValue value = {.type = jbvBool, .val.boolean = boolean};

	builder_add(builder, &name, &value);
}

/* Add a member that is a number. */
void
builder_add_integer(JsonBuilder *builder, const char *key, int64 value)
{
	JsonbValue name = text_value(key);
	JsonbValue number = {.type = jbvNumeric, .val.numeric = int64_to_numeric(value)};

	builder_add(builder, &name, &number);
}

/* Add a member that is a time as the APIs write it, in UTC with milliseconds.  Errors: 22008 it is not finite. */
void
builder_add_moment(JsonBuilder *builder, const char *key, TimestampTz moment)
{
	struct pg_tm tm;
	fsec_t fraction;

	if (TIMESTAMP_NOT_FINITE(moment) || timestamp2tm(moment, NULL, &tm, &fraction, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	builder_add_text(builder, key,
					 psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year, tm.tm_mon,
							  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
							  (int) (fraction / 1000)));
}

/* Put what an iterator has given, perhaps changed. */
void
builder_copy(JsonBuilder *builder, JsonbIteratorToken token, const JsonbValue *value)
{
	bool has_value = token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM ||
					 (token == WJB_BEGIN_ARRAY && value->val.array.rawScalar);

	builder_put(builder, token, has_value ? value : NULL);
}

/* What was built, after its last end, as a piece for another document. */
JsonbValue *
builder_value(const JsonBuilder *builder)
{
#if PG_VERSION_NUM >= 190000
	return builder->state.result;
#else
	return builder->result;
#endif
}

/* What was built, after its last end, in the current memory context. */
Jsonb *
builder_finish(const JsonBuilder *builder)
{
	return JsonbValueToJsonb(builder_value(builder));
}

/* The same, where the end of the object is still missing, and its beginning, if it has no members. */
Jsonb *
builder_finish_object(JsonBuilder *builder)
{
	if (!builder->has_begun)
		builder_begin_object(builder);
	builder_end_object(builder);
	return builder_finish(builder);
}
