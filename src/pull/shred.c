/*
 * shred.c
 *	  One pull's JSON to the rows of the entity tables.
 *
 * Pure: the same JSON and the same table definitions give the same rows, and no
 * JSON raises an error.  Every field ends in its column, in rows of its own, or
 * in the row's extra; nothing is dropped.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/coerce.h"
#include "base/json.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "pull/entity.h"
#include "pull/missing.h"
#include "pull/shape.h"
#include "pull/shred.h"

#define DRIFT_MAX_PATHS 200 /* of each kind */
#define DEPTH_MAX       8   /* rows in rows: the entities' links end after half of them */

/* A row being filled, linked to the rows above it. */
typedef struct Row
{
	Entity entity;
	EntityMap *map;
	struct Row *parent;
	int ordinal; /* within the pull and entity, from 1 */
	Datum *values;
	bool *nulls;
	JsonBuilder extra;  /* begun by the first field that goes there */
	List *children;     /* of Child *, shredded when the row is complete */
	bool lender_listed; /* the lender that the row itself names is a row among its children */
	int depth;          /* rows above it */
} Row;

typedef struct Child
{
	Entity entity;
	const char *role; /* the field's name */
	JsonbValue value;
	bool only_rows; /* an array of nothing else, but for empty objects and nulls */
} Child;

typedef struct Shredder
{
	Datum server;
	Datum pull_id;
	Datum environment;
	Datum account; /* 0 = stands alone */
	bool is_current;
	MemoryContext context;           /* what outlives a row */
	MemoryContext levels[DEPTH_MAX]; /* of the row at each depth; NULL until there was one */
	EntityRows *rows;
	int ordinals[ENTITY_COUNT];
	bool *seen[ENTITY_COUNT]; /* fields of the map that some object had */
	Drift *drift;
} Shredder;

/* Entities that name a lender of their own, which is a row of ENTITY_MORTGAGEE like any other. */
static const struct
{
	Entity entity;
	const char *name;
	const char *number; /* of the loan; NULL = none */
} lenders[] = {
	{ENTITY_DWELLING, "mortgagee_name", "mortgage_loan_number"},
	{ENTITY_VEHICLE, "lien_holder", NULL},
};

static void shred_object(Shredder *shredder, Entity entity, JsonbContainer *object, Row *parent,
						 const char *role);
static void shred_fields(Shredder *shredder, Row *row, JsonbContainer *object, const char *prefix,
						 JsonBuilder *extra);

/* Remember a path once, for longer than its row. */
static void
drift_note(const Shredder *shredder, List **paths, Entity entity, const char *prefix,
		   const char *name, int len)
{
	char *path;
	ListCell *cell;
	MemoryContext old;

	if (list_length(*paths) >= DRIFT_MAX_PATHS)
		return;
	path = psprintf("%s.%s%s", entity_name(entity), prefix, json_key_label(name, len));
	foreach(cell, *paths)
		if (strcmp(lfirst(cell), path) == 0)
		{
			pfree(path);
			return;
		}
	old = MemoryContextSwitchTo(shredder->context);
	*paths = lappend(*paths, pstrdup(path));
	MemoryContextSwitchTo(old);
}

/* Take a field that holds rows of another entity. */
static void
take_child(Shredder *shredder, Row *row, EntityField *field, const char *prefix,
		   const JsonbValue *key, JsonbValue *value, JsonBuilder *extra)
{
	JsonbValue *misfits = value;
	Child *child;

	if (value->type == jbvNull || (value_is_object(value) && shape_is_nothing(value)))
		return;
	if (value_is_object(value) && shape_is_row(field->child, value->val.binary.data))
		misfits = NULL;
	else if (value_is_array(value) ||
			 (value_is_object(value) && shape_is_list(field->child, value->val.binary.data)))
		misfits = shape_misfits(field->child, value->val.binary.data);
	if (misfits != NULL)
	{
		builder_add(extra, key, misfits);
		drift_note(shredder, &shredder->drift->retyped, row->entity, prefix, key->val.string.val,
				   key->val.string.len);
	}
	if (misfits == value)
		return;
	child = palloc(sizeof(Child));
	child->entity = field->child;
	child->role = field->name;
	child->value = *value;
	child->only_rows = misfits == NULL && value_is_array(value);
	row->children = lappend(row->children, child);
}

/* Take a field that has a column. */
static void
take_column(Shredder *shredder, Row *row, EntityField *field, const char *prefix,
			const JsonbValue *key, JsonbValue *value, JsonBuilder *extra)
{
	Datum datum;
	bool isnull;

	if (coerce_value(field->kind, value, &datum, &isnull))
	{
		if (!isnull)
		{
			row->values[field->attribute] = datum;
			row->nulls[field->attribute] = false;
		}
		return;
	}
	builder_add(extra, key, value);
	drift_note(shredder, &shredder->drift->retyped, row->entity, prefix, key->val.string.val,
			   key->val.string.len);
}

/* Take an object whose fields belong to the row itself; what does not fit keeps its place in extra. */
static void
take_group(Shredder *shredder, Row *row, const char *prefix, const JsonbValue *key,
		   JsonbValue *value, JsonBuilder *extra)
{
	JsonBuilder inner = {0};
	char *inner_prefix = psprintf("%s%.*s_", prefix, key->val.string.len, key->val.string.val);

	shred_fields(shredder, row, value->val.binary.data, inner_prefix, &inner);
	if (!inner.has_begun)
		return;
	builder_end_object(&inner);
	builder_add(extra, key, builder_value(&inner));
}

/* Whether the field is the pull's own id, which every row has as its key. */
static bool
is_pull_key(const Row *row, const char *prefix, const JsonbValue *key)
{
	return row->entity == ENTITY_PULL && *prefix == '\0' && key->val.string.len == 7 &&
		   memcmp(key->val.string.val, "pull_id", 7) == 0;
}

/* Whether something has been taken for a field of the row. */
static bool
is_taken(const Row *row, const EntityField *field)
{
	ListCell *cell;

	foreach(cell, row->children)
		if (((Child *) lfirst(cell))->role == field->name)
			return true;
	return field->attribute >= 0 && !row->nulls[field->attribute];
}

/*
 * The field that a key stands for.  Another spelling counts only where the object
 * says nothing under the field's own name: the API's examples have both, of one value.
 */
static EntityField *
field_of_key(Row *row, JsonbContainer *object, const char *prefix, const JsonbValue *key,
			 const JsonbValue *value)
{
	const char *name = key->val.string.val;
	int len = key->val.string.len;
	int prefix_len = strlen(prefix);
	EntityField *field;
	const char *own;

	if (prefix_len > 0)
		name = psprintf("%s%.*s", prefix, len, name);
	field = entity_find_field(row->map, name, prefix_len + len);
	if (field != NULL)
		return field->prefix_len == prefix_len ? field : NULL;
	if (shape_is_nothing(value))
		return NULL;
	field = entity_find_twin(row->entity, prefix, key->val.string.val, len);
	if (field == NULL || is_taken(row, field))
		return NULL;
	own = field->name + prefix_len;
	return shape_is_nothing(member_value(object, own)) ? field : NULL;
}

/* Take one field of an object, wherever it belongs. */
static void
take_field(Shredder *shredder, Row *row, JsonbContainer *object, const char *prefix,
		   const JsonbValue *key, JsonbValue *value, JsonBuilder *extra)
{
	EntityField *field = field_of_key(row, object, prefix, key, value);
	Drift *drift = shredder->drift;

	if (field == NULL)
	{
		if (is_pull_key(row, prefix, key))
			return;
		builder_add(extra, key, value);
		drift_note(shredder, &drift->added, row->entity, prefix, key->val.string.val,
				   key->val.string.len);
		return;
	}
	shredder->seen[row->entity][field - row->map->fields] = true;
	if (field->group && (value_is_object(value) || value->type == jbvNull))
	{
		if (value->type != jbvNull)
			take_group(shredder, row, prefix, key, value, extra);
	}
	else if (field->child != ENTITY_NONE && (field->attribute < 0 || shape_is_rows(field, value)))
		take_child(shredder, row, field, prefix, key, value, extra);
	else if (field->attribute >= 0)
		take_column(shredder, row, field, prefix, key, value, extra);
	else
	{
		builder_add(extra, key, value);
		drift_note(shredder, &drift->retyped, row->entity, prefix, key->val.string.val,
				   key->val.string.len);
	}
}

/* Take every field of an object. */
static void
shred_fields(Shredder *shredder, Row *row, JsonbContainer *object, const char *prefix,
			 JsonBuilder *extra)
{
	JsonWalk walk = walk_begin(object);

	while (walk_next(&walk))
		take_field(shredder, row, object, prefix, &walk.key, &walk.value, extra);
}

/* Fill a column of the engine, where the table has it. */
static void
row_set(Row *row, int attribute, Datum value)
{
	if (attribute < 0)
		return;
	row->values[attribute] = value;
	row->nulls[attribute] = false;
}

/* Fill the columns that are the same in every row of the pull. */
static void
row_set_origin(const Shredder *shredder, Row *row)
{
	row_set(row, row->map->server, shredder->server);
	row_set(row, row->map->pull_id, shredder->pull_id);
	row_set(row, row->map->environment, shredder->environment);
	row_set(row, row->map->is_current, BoolGetDatum(shredder->is_current));
	if (shredder->account != 0)
		row_set(row, row->map->account_identifier, shredder->account);
}

/* Give the row the ids of the rows above it where it has none of its own. */
static void
row_inherit(Row *row)
{
	for (int i = 0; i < row->map->inheritance_count; i++)
	{
		EntityInheritance *inheritance = &row->map->inheritances[i];

		if (!row->nulls[inheritance->attribute])
			continue;
		for (Row *above = row->parent; above != NULL; above = above->parent)
			if (above->entity == inheritance->ancestor && above->map->id >= 0 &&
				!above->nulls[above->map->id])
			{
				row_set(row, inheritance->attribute, above->values[above->map->id]);
				break;
			}
	}
}

/* Put the finished row to the others of its entity. */
static void
row_store(Shredder *shredder, Row *row)
{
	List **rows = &shredder->rows->rows[row->entity];
	MemoryContext old = MemoryContextSwitchTo(shredder->context);
	HeapTuple tuple = heap_form_tuple(row->map->descriptor, row->values, row->nulls);

	*rows = lappend(*rows, tuple->t_data);
	MemoryContextSwitchTo(old);
}

/* Shred the rows that a field of the row holds. */
static void
shred_child(Shredder *shredder, Row *row, Child *child)
{
	JsonbContainer *container = child->value.val.binary.data;
	JsonWalk walk;

	if (!child->only_rows && value_is_object(&child->value) &&
		shape_is_row(child->entity, container))
	{
		shred_object(shredder, child->entity, container, row, child->role);
		return;
	}
	walk = walk_begin(container);
	while (walk_next(&walk))
		if (value_is_object(&walk.value) &&
			(child->only_rows ? JsonContainerSize(walk.value.val.binary.data) > 0
							  : shape_is_row(child->entity, walk.value.val.binary.data)))
			shred_object(shredder, child->entity, walk.value.val.binary.data, row, child->role);
}

/* A row of the entity without a value yet. */
static Row
row_begin(Shredder *shredder, Entity entity, Row *parent)
{
	Row row = {.entity = entity, .map = entity_use(entity), .parent = parent};
	int count = row.map->descriptor->natts;

	if (shredder->seen[entity] == NULL)
		shredder->seen[entity] =
			MemoryContextAllocZero(shredder->context, sizeof(bool) * row.map->field_count);
	row.depth = parent ? parent->depth + 1 : 0;
	row.values = palloc0(sizeof(Datum) * count);
	row.nulls = palloc(sizeof(bool) * count);
	memset(row.nulls, true, sizeof(bool) * count);
	row.ordinal = ++shredder->ordinals[entity];
	return row;
}

/* Fill in what a row does not have from its object's fields, and store it. */
static void
row_finish(Shredder *shredder, Row *row, const char *role)
{
	row_set_origin(shredder, row);
	row_set(row, row->map->ordinal, Int32GetDatum(row->ordinal));
	if (row->parent != NULL)
		row_set(row, row->map->parent_ordinal, Int32GetDatum(row->parent->ordinal));
	if (role != NULL && row->map->role >= 0)
		row_set(row, row->map->role, CStringGetTextDatum(role));
	if (row->extra.has_begun)
		row_set(row, row->map->extra, JsonbPGetDatum(builder_finish_object(&row->extra)));
	row_inherit(row);
	row_store(shredder, row);
}

/* A text column of a row; NULL if it has none. */
static const char *
row_text(const Row *row, const char *name)
{
	EntityField *field = name ? entity_find_field(row->map, name, strlen(name)) : NULL;

	if (field == NULL || field->attribute < 0 || row->nulls[field->attribute])
		return NULL;
	return TextDatumGetCString(row->values[field->attribute]);
}

/*
 * Whether a listed lender is the one that the row above it names.  The number of the
 * loan decides where both have one: the name is written in full there, and short here.
 */
static bool
is_same_lender(const Row *listed, const char *name, const char *number)
{
	const char *listed_name = row_text(listed, "mortgagee_name");
	const char *listed_number = row_text(listed, "mortgage_loan_number");

	if (number != NULL && listed_number != NULL)
		return strcmp(number, listed_number) == 0;
	return name != NULL && listed_name != NULL && pg_strcasecmp(name, listed_name) == 0;
}

/* Note whether this row is the lender that the row above it names. */
static void
lender_note(Row *row)
{
	if (row->entity != ENTITY_MORTGAGEE)
		return;
	for (int i = 0; i < lengthof(lenders); i++)
		if (row->parent->entity == lenders[i].entity &&
			is_same_lender(row, row_text(row->parent, lenders[i].name),
						   row_text(row->parent, lenders[i].number)))
			row->parent->lender_listed = true;
}

/* Copy a text column, where the row has the other. */
static void
row_copy_text(Row *row, const char *name, const char *text)
{
	EntityField *field = entity_find_field(row->map, name, strlen(name));

	if (text != NULL && field != NULL && field->attribute >= 0)
		row_set(row, field->attribute, CStringGetTextDatum(text));
}

/* Make a row of the lender that a dwelling or vehicle itself names, unless it was listed. */
static void
shred_lender(Shredder *shredder, Row *parent)
{
	for (int i = 0; i < lengthof(lenders); i++)
	{
		const char *name;
		const char *number;
		Row row;

		if (parent->entity != lenders[i].entity || parent->lender_listed)
			continue;
		name = row_text(parent, lenders[i].name);
		number = row_text(parent, lenders[i].number);
		if (name == NULL && number == NULL)
			continue;
		row = row_begin(shredder, ENTITY_MORTGAGEE, parent);
		row_copy_text(&row, "mortgagee_name", name);
		row_copy_text(&row, "mortgage_loan_number", number);
		row_finish(shredder, &row, NULL);
	}
}

/* Go to the memory of the rows at a depth, which is empty between them. */
static MemoryContext
level_enter(Shredder *shredder, int depth)
{
	Assert(depth < DEPTH_MAX);
	if (shredder->levels[depth] == NULL)
		shredder->levels[depth] =
			AllocSetContextCreate(shredder->context, "canopy_summit row", ALLOCSET_DEFAULT_SIZES);
	return MemoryContextSwitchTo(shredder->levels[depth]);
}

/* Make one row of an object, and then the rows below it. */
static void
shred_object(Shredder *shredder, Entity entity, JsonbContainer *object, Row *parent,
			 const char *role)
{
	int depth = parent ? parent->depth + 1 : 0;
	MemoryContext old = level_enter(shredder, depth);
	Row row = row_begin(shredder, entity, parent);
	ListCell *cell;

	CHECK_FOR_INTERRUPTS();
	shred_fields(shredder, &row, object, "", &row.extra);
	row_finish(shredder, &row, role);
	lender_note(&row);
	foreach(cell, row.children)
		shred_child(shredder, &row, lfirst(cell));
	shred_lender(shredder, &row);
	MemoryContextSwitchTo(old);
	MemoryContextReset(shredder->levels[depth]);
}

/* Note the columns that some object of an entity had in the version before, and none of them has now. */
static void
note_missing(Shredder *shredder, Jsonb *previous)
{
	bool *had[ENTITY_COUNT] = {0};

	missing_look(previous, had);
	for (int i = 0; i < ENTITY_COUNT; i++)
	{
		EntityMap *map = entity_map(i);

		if (shredder->ordinals[i] == 0 || had[i] == NULL)
			continue;
		for (int f = 0; f < map->field_count; f++)
			if (map->fields[f].attribute >= 0 && had[i][f] && !shredder->seen[i][f])
				drift_note(shredder, &shredder->drift->missing, i, "", map->fields[f].name,
						   map->fields[f].len);
	}
}

/*
 * The rows of a pull, in the current memory context.  Where the JSON differs from
 * the tables, or leaves out what the previous version (NULL = none) had, is added
 * to *drift.
 */
EntityRows *
shred(const RowOrigin *origin, Jsonb *pull, Jsonb *previous, Drift *drift)
{
	Shredder shredder = {0};

	entity_begin();
	shredder.server = CStringGetTextDatum(origin->server);
	shredder.pull_id = CStringGetTextDatum(origin->pull_id);
	shredder.environment = CStringGetTextDatum(origin->environment);
	if (origin->account != NULL)
		shredder.account = CStringGetTextDatum(origin->account);
	shredder.is_current = origin->is_current;
	shredder.context = CurrentMemoryContext;
	shredder.rows = palloc0(sizeof(EntityRows));
	shredder.drift = drift;
	shred_object(&shredder, ENTITY_PULL, &pull->root, NULL, NULL);
	for (int i = 0; i < DEPTH_MAX && shredder.levels[i] != NULL; i++)
		MemoryContextDelete(shredder.levels[i]);
	if (previous != NULL)
		note_missing(&shredder, previous);
	return shredder.rows;
}
