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

extern JsonbValue *member_value(JsonbContainer *object, const char *name);
extern JsonbContainer *member_object(JsonbContainer *object, const char *name);
extern char *member_text(JsonbContainer *object, const char *name);
extern char *json_text_field(Jsonb *json, const char *name);

#endif /* CANOPY_SUMMIT_BASE_JSONB_GET_H */
