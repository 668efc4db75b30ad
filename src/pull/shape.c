/*
 * shape.c
 *	  Which JSON values are rows of an entity, and which are lists of them.
 *
 * A row has some field that its entity knows.  A list is an array, or an object
 * whose values are the rows (policy0, policy1, …).  Pure but for opening the maps.
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "base/coerce.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "pull/entity.h"
#include "pull/shape.h"

/* Whether a value says nothing: null, or what carriers write for it. */
bool
shape_is_nothing(const JsonbValue *value)
{
	return value == NULL || value->type == jbvNull ||
		   (value->type == jbvString && value->val.string.len == 0) ||
		   (value->type == jbvBinary && JsonContainerSize(value->val.binary.data) == 0);
}

/* Whether the entity has a place for a field, in whatever spelling. */
static bool
is_known(Entity entity, const JsonbValue *key)
{
	EntityField *field =
		entity_find_field(entity_use(entity), key->val.string.val, key->val.string.len);

	return (field != NULL && field->prefix_len == 0) ||
		   entity_find_twin(entity, "", key->val.string.val, key->val.string.len) != NULL;
}

/* Whether an object is a row of the entity: has some field that it knows. */
bool
shape_is_row(Entity entity, JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY && is_known(entity, &value))
		{
			pfree(iterator); /* one element of many may be asked about */
			return true;
		}
	return false;
}

/* Whether an object stands for the list of its values: rows, under keys that the entity does not know. */
bool
shape_is_list(Entity entity, JsonbContainer *object)
{
	JsonWalk walk;

	if (shape_is_row(entity, object))
		return false;
	walk = walk_begin(object);
	while (walk_next(&walk))
		if (value_is_object(&walk.value) && shape_is_row(entity, walk.value.val.binary.data))
			return true;
	return false;
}

/* What of a list, an array or an object, is neither a row nor nothing, as it was; NULL if there is none. */
JsonbValue *
shape_misfits(Entity entity, JsonbContainer *list)
{
	JsonWalk walk = walk_begin(list);
	JsonBuilder misfits = {0};

	while (walk_next(&walk))
	{
		JsonbValue *element = &walk.value;

		if (element->type == jbvNull ||
			(value_is_object(element) && (JsonContainerSize(element->val.binary.data) == 0 ||
										  shape_is_row(entity, element->val.binary.data))))
			continue;
		if (!walk.is_object && !misfits.has_begun)
			builder_begin_array(&misfits);
		if (walk.is_object)
			builder_add(&misfits, &walk.key, element);
		else
			builder_put(&misfits, WJB_ELEM, element);
	}
	if (!misfits.has_begun)
		return NULL;
	builder_put(&misfits, walk.is_object ? WJB_END_OBJECT : WJB_END_ARRAY, NULL);
	return builder_value(&misfits);
}

/* Whether a field that may be a column or rows is rows: a list of nothing else, or an object where no column takes one. */
bool
shape_is_rows(const EntityField *field, const JsonbValue *value)
{
	JsonbContainer *container = value->val.binary.data;
	JsonWalk walk;

	if (value_is_object(value))
		return field->kind != COLUMN_JSONB &&
			   (shape_is_row(field->child, container) || shape_is_list(field->child, container));
	if (!value_is_array(value) || shape_misfits(field->child, container) != NULL)
		return false;
	walk = walk_begin(container);
	while (walk_next(&walk))
		if (value_is_object(&walk.value) && JsonContainerSize(walk.value.val.binary.data) > 0)
			return true;
	return false;
}
