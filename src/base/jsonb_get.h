/*
 * jsonb_get.h
 *	  Members of JSON objects, where they are what is looked for.
 *
 * Without an object there are no members: NULL and containers of another kind may be asked.
 */
#ifndef CANOPY_SUMMIT_BASE_JSONB_GET_H
#define CANOPY_SUMMIT_BASE_JSONB_GET_H

#include "postgres.h"

#include "utils/jsonb.h"

static inline bool
value_is_object(const JsonbValue *value)
{
	return value != NULL && value->type == jbvBinary &&
		   JsonContainerIsObject(value->val.binary.data);
}

static inline bool
value_is_array(const JsonbValue *value)
{
	return value != NULL && value->type == jbvBinary &&
		   JsonContainerIsArray(value->val.binary.data);
}

/* A way over the members of an object, or over the elements of an array. */
typedef struct JsonWalk
{
	JsonbIterator *iterator;
	bool is_object;
	JsonbValue key; /* of a member */
	JsonbValue value;
} JsonWalk;

static inline JsonWalk
walk_begin(JsonbContainer *container)
{
	JsonWalk walk = {.iterator = JsonbIteratorInit(container),
					 .is_object = JsonContainerIsObject(container)};

	(void) JsonbIteratorNext(&walk.iterator, &walk.value, true);
	return walk;
}

/* Go to the next one; false if there is none. */
static inline bool
walk_next(JsonWalk *walk)
{
	if (walk->is_object)
		return JsonbIteratorNext(&walk->iterator, &walk->key, true) == WJB_KEY &&
			   JsonbIteratorNext(&walk->iterator, &walk->value, true) == WJB_VALUE;
	return JsonbIteratorNext(&walk->iterator, &walk->value, true) == WJB_ELEM;
}

extern JsonbValue *member_value(JsonbContainer *object, const char *name);
extern JsonbContainer *member_object(JsonbContainer *object, const char *name);
extern char *member_text(JsonbContainer *object, const char *name);
extern char *json_text_field(Jsonb *json, const char *name);

#endif /* CANOPY_SUMMIT_BASE_JSONB_GET_H */
