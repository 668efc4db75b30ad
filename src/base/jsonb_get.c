/*
 * jsonb_get.c
 *	  Members of JSON objects, where they are what is looked for.
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "base/jsonb_get.h"

/* A member, in the current memory context; NULL if there is none. */
JsonbValue *
member_value(JsonbContainer *object, const char *name)
{
	if (object == NULL || !JsonContainerIsObject(object))
		return NULL;
	return getKeyJsonValueFromContainer(object, name, strlen(name), NULL);
}

/* A member that is an object; NULL if it is missing or something else. */
JsonbContainer *
member_object(JsonbContainer *object, const char *name)
{
	JsonbValue *value = member_value(object, name);

	return value_is_object(value) ? value->val.binary.data : NULL;
}

/* The text of a member; NULL if it is missing, empty or not a string. */
char *
member_text(JsonbContainer *object, const char *name)
{
	JsonbValue *value = member_value(object, name);

	if (value == NULL || value->type != jbvString || value->val.string.len == 0)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* The same of a whole document, which may be NULL. */
char *
json_text_field(Jsonb *json, const char *name)
{
	return json == NULL ? NULL : member_text(&json->root, name);
}
