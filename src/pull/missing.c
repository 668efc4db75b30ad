/*
 * missing.c
 *	  Which fields the objects of a pull had, so that a later version can tell
 *	  what it is missing.
 *
 * Nothing is read of the values: the version was shredded when it came.
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "base/jsonb_get.h"
#include "pull/entity.h"
#include "pull/missing.h"
#include "pull/shape.h"

static void look_at(bool **had, Entity entity, const char *prefix, JsonbContainer *object);

/* Look at every object that a field of an earlier version holds. */
static void
look_at_child(bool **had, Entity entity, JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;

	if (value->type != jbvBinary)
		return;
	if (value_is_object(value) && shape_is_row(entity, value->val.binary.data))
	{
		look_at(had, entity, "", value->val.binary.data);
		return;
	}
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
		if ((token == WJB_ELEM || token == WJB_VALUE) && value_is_object(&element))
			look_at(had, entity, "", element.val.binary.data);
}

/* Note which fields an object of an earlier version has, and those of the objects in it. */
static void
look_at(bool **had, Entity entity, const char *prefix, JsonbContainer *object)
{
	EntityMap *map = entity_use(entity);
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue value;
	EntityField *field = NULL;

	if (had[entity] == NULL)
		had[entity] = palloc0(sizeof(bool) * map->field_count);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char *name = psprintf("%s%.*s", prefix, value.val.string.len, value.val.string.val);

			field = entity_find_field(map, name, strlen(name));
			if (field == NULL)
				field =
					entity_find_twin(entity, prefix, value.val.string.val, value.val.string.len);
			else if (field->prefix_len != strlen(prefix))
				field = NULL;
			pfree(name);
			if (field != NULL)
				had[entity][field - map->fields] = true;
		}
		else if (token == WJB_VALUE && field != NULL && field->group && value_is_object(&value))
			look_at(had, entity, psprintf("%s_", field->name), value.val.binary.data);
		else if (token == WJB_VALUE && field != NULL && field->child != ENTITY_NONE)
			look_at_child(had, field->child, &value);
	}
}

/* Note in had[entity], made for entities that the pull has, which fields of the map its objects have. */
void
missing_look(Jsonb *pull, bool **had)
{
	look_at(had, ENTITY_PULL, "", &pull->root);
}
