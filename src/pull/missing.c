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
	JsonWalk walk;

	if (value->type != jbvBinary)
		return;
	if (value_is_object(value) && shape_is_row(entity, value->val.binary.data))
	{
		look_at(had, entity, "", value->val.binary.data);
		return;
	}
	walk = walk_begin(value->val.binary.data);
	while (walk_next(&walk))
		if (value_is_object(&walk.value))
			look_at(had, entity, "", walk.value.val.binary.data);
}

/* Note which fields an object of an earlier version has, and those of the objects in it. */
static void
look_at(bool **had, Entity entity, const char *prefix, JsonbContainer *object)
{
	EntityMap *map = entity_use(entity);
	JsonWalk walk = walk_begin(object);

	if (had[entity] == NULL)
		had[entity] = palloc0(sizeof(bool) * map->field_count);
	while (walk_next(&walk))
	{
		int len = walk.key.val.string.len;
		char *name = psprintf("%s%.*s", prefix, len, walk.key.val.string.val);
		EntityField *field = entity_find_field(map, name, strlen(name));

		pfree(name);
		if (field == NULL)
			field = entity_find_twin(entity, prefix, walk.key.val.string.val, len);
		else if (field->prefix_len != strlen(prefix))
			continue;
		if (field == NULL)
			continue;
		had[entity][field - map->fields] = true;
		if (field->group && value_is_object(&walk.value))
			look_at(had, entity, psprintf("%s_", field->name), walk.value.val.binary.data);
		else if (field->child != ENTITY_NONE)
			look_at_child(had, field->child, &walk.value);
	}
}

/* Note in had[entity], made for entities that the pull has, which fields of the map its objects have. */
void
missing_look(Jsonb *pull, bool **had)
{
	look_at(had, ENTITY_PULL, "", &pull->root);
}
