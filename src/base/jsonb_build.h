/*
 * jsonb_build.h
 *	  JSON documents, built piece by piece.
 *
 * The pieces are not copied: they stay as they are until the document is made.
 */
#ifndef CANOPY_SUMMIT_BASE_JSONB_BUILD_H
#define CANOPY_SUMMIT_BASE_JSONB_BUILD_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* A document on its way; {0} is the beginning.  PostgreSQL 19 has a state of its own for that. */
typedef struct JsonBuilder
{
#if PG_VERSION_NUM >= 190000
	JsonbInState state;
#else
	JsonbParseState *state;
	JsonbValue *result;
#endif
	bool has_begun; /* something was put in */
} JsonBuilder;

extern void builder_put(JsonBuilder *builder, JsonbIteratorToken token, const JsonbValue *value);
extern void builder_put_text(JsonBuilder *builder, JsonbIteratorToken token, const char *text);
extern void builder_add(JsonBuilder *builder, const JsonbValue *key, const JsonbValue *value);
extern void builder_add_text(JsonBuilder *builder, const char *key, const char *text);
extern void builder_add_integer(JsonBuilder *builder, const char *key, int64 value);
extern void builder_add_moment(JsonBuilder *builder, const char *key, TimestampTz moment);
extern void builder_add_boolean(JsonBuilder *builder, const char *key, bool boolean);
extern void builder_copy(JsonBuilder *builder, JsonbIteratorToken token, const JsonbValue *value);
extern JsonbValue *builder_value(const JsonBuilder *builder);
extern Jsonb *builder_finish(const JsonBuilder *builder);
extern Jsonb *builder_finish_object(JsonBuilder *builder);
extern JsonbValue text_value(const char *text);

#define builder_begin_object(builder) builder_put(builder, WJB_BEGIN_OBJECT, NULL)
#define builder_end_object(builder)   builder_put(builder, WJB_END_OBJECT, NULL)
#define builder_begin_array(builder)  builder_put(builder, WJB_BEGIN_ARRAY, NULL)
#define builder_end_array(builder)    builder_put(builder, WJB_END_ARRAY, NULL)
#define builder_key(builder, key)     builder_put_text(builder, WJB_KEY, key) /* its value follows */

#endif /* CANOPY_SUMMIT_BASE_JSONB_BUILD_H */
