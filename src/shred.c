/*
 * shred.c
 *	  One pull's JSON to the rows of the entity tables.
 *
 * Pure: the same JSON and the same table definitions give the same rows, and no
 * JSON raises an error.  Every field ends in its column, in rows of its own, or
 * in the row's extra; nothing is dropped.
 */
#include "entity.h"

#include "access/htup_details.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define DRIFT_MAX_PATHS 200 /* of each kind */

/* A row being filled, linked to the rows above it. */
typedef struct Row
{
	Entity entity;
	EntityMap *map;
	struct Row *parent;
	int ordinal; /* within the pull and entity, from 1 */
	Datum *values;
	bool *nulls;
	JsonbParseState *extra; /* NULL until a field goes there */
	List *children;         /* of Child *, shredded when the row is complete */
} Row;

typedef struct Child
{
	Entity entity;
	const char *role; /* the field's name */
	JsonbValue value;
} Child;

typedef struct Shredder
{
	Datum server;
	Datum pull_id;
	Datum environment;
	Datum account; /* 0 = stands alone */
	bool is_current;
	EntityRows *rows;
	int ordinals[ENTITY_COUNT];
	bool *seen[ENTITY_COUNT]; /* fields of the map that some object had */
	Drift *drift;
} Shredder;

static void shred_object(Shredder *shredder, Entity entity, JsonbContainer *object, Row *parent,
						 const char *role);
static void shred_fields(Shredder *shredder, Row *row, JsonbContainer *object, const char *prefix,
						 JsonbParseState **extra);

/* Remember a path once. */
static void
drift_note(List **paths, Entity entity, const char *prefix, const char *name, int len)
{
	char *path;
	ListCell *cell;

	if (list_length(*paths) >= DRIFT_MAX_PATHS)
		return;
	path = psprintf("%s.%s%.*s", entity_name(entity), prefix, pg_mbcliplen(name, len, 200), name);
	foreach(cell, *paths)
		if (strcmp(lfirst(cell), path) == 0)
		{
			pfree(path);
			return;
		}
	*paths = lappend(*paths, path);
}

/* Put a field into the extra of its row. */
static void
extra_add(JsonbParseState **extra, const JsonbValue *key, JsonbValue *value)
{
	if (*extra == NULL)
		pushJsonbValue(extra, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(extra, WJB_KEY, unconstify(JsonbValue *, key));
	pushJsonbValue(extra, WJB_VALUE, value);
}

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

static bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

/* The elements of an array that are neither objects nor null, as a JSON array; NULL if there are none. */
static JsonbValue *
array_misfits(JsonbContainer *array)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbParseState *misfits = NULL;
	JsonbIteratorToken token;
	JsonbValue element;

	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM || is_object(&element) || element.type == jbvNull)
			continue;
		if (misfits == NULL)
			pushJsonbValue(&misfits, WJB_BEGIN_ARRAY, NULL);
		pushJsonbValue(&misfits, WJB_ELEM, &element);
	}
	return misfits ? pushJsonbValue(&misfits, WJB_END_ARRAY, NULL) : NULL;
}

/* Whether a field that may be a column or rows is rows: an array of objects, with nulls among them. */
static bool
is_rows(const JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;

	if (!is_array(value) || array_misfits(value->val.binary.data) != NULL)
		return false;
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM && is_object(&element))
			return true;
	return false;
}

/* Take a field that holds rows of another entity. */
static void
take_child(Row *row, EntityField *field, const char *prefix, const JsonbValue *key,
		   JsonbValue *value, JsonbParseState **extra, Drift *drift)
{
	JsonbValue *misfits = value;
	Child *child;

	if (value->type == jbvNull)
		return;
	if (is_object(value))
		misfits = NULL;
	else if (is_array(value))
		misfits = array_misfits(value->val.binary.data);
	if (misfits != NULL)
	{
		extra_add(extra, key, misfits);
		drift_note(&drift->retyped, row->entity, prefix, key->val.string.val, key->val.string.len);
	}
	if (misfits == value)
		return;
	child = palloc(sizeof(Child));
	child->entity = field->child;
	child->role = field->name;
	child->value = *value;
	row->children = lappend(row->children, child);
}

/* Take a field that has a column. */
static void
take_column(Row *row, EntityField *field, const char *prefix, const JsonbValue *key,
			JsonbValue *value, JsonbParseState **extra, Drift *drift)
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
	extra_add(extra, key, value);
	drift_note(&drift->retyped, row->entity, prefix, key->val.string.val, key->val.string.len);
}

/* Take an object whose fields belong to the row itself; what does not fit keeps its place in extra. */
static void
take_group(Shredder *shredder, Row *row, const char *prefix, const JsonbValue *key,
		   JsonbValue *value, JsonbParseState **extra)
{
	JsonbParseState *inner = NULL;
	char *inner_prefix = psprintf("%s%.*s_", prefix, key->val.string.len, key->val.string.val);

	shred_fields(shredder, row, value->val.binary.data, inner_prefix, &inner);
	if (inner != NULL)
		extra_add(extra, key, pushJsonbValue(&inner, WJB_END_OBJECT, NULL));
}

/* Whether the field is the pull's own id, which every row has as its key. */
static bool
is_pull_key(const Row *row, const char *prefix, const JsonbValue *key)
{
	return row->entity == ENTITY_PULL && *prefix == '\0' && key->val.string.len == 7 &&
		   memcmp(key->val.string.val, "pull_id", 7) == 0;
}

/* Take one field, wherever it belongs. */
static void
take_field(Shredder *shredder, Row *row, const char *prefix, const JsonbValue *key,
		   JsonbValue *value, JsonbParseState **extra)
{
	const char *name = key->val.string.val;
	int len = key->val.string.len;
	EntityField *field;

	if (*prefix != '\0')
	{
		name = psprintf("%s%.*s", prefix, len, name);
		len += strlen(prefix);
	}
	field = entity_find_field(row->map, name, len);
	if (field == NULL || field->prefix_len != strlen(prefix))
	{
		if (is_pull_key(row, prefix, key))
			return;
		extra_add(extra, key, value);
		drift_note(&shredder->drift->added, row->entity, prefix, key->val.string.val,
				   key->val.string.len);
		return;
	}
	shredder->seen[row->entity][field - row->map->fields] = true;
	if (field->group && (is_object(value) || value->type == jbvNull))
	{
		if (value->type != jbvNull)
			take_group(shredder, row, prefix, key, value, extra);
	}
	else if (field->child != ENTITY_NONE && (field->attribute < 0 || is_rows(value)))
		take_child(row, field, prefix, key, value, extra, shredder->drift);
	else if (field->attribute >= 0)
		take_column(row, field, prefix, key, value, extra, shredder->drift);
	else
	{
		extra_add(extra, key, value);
		drift_note(&shredder->drift->retyped, row->entity, prefix, key->val.string.val,
				   key->val.string.len);
	}
}

/* Take every field of an object. */
static void
shred_fields(Shredder *shredder, Row *row, JsonbContainer *object, const char *prefix,
			 JsonbParseState **extra)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue key = {.type = jbvNull};
	JsonbValue value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = value;
		else if (token == WJB_VALUE)
			take_field(shredder, row, prefix, &key, &value, extra);
	}
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

/* Put the finished row into its tuplestore. */
static void
row_store(Shredder *shredder, Row *row)
{
	Tuplestorestate **rows = &shredder->rows->rows[row->entity];

	if (*rows == NULL)
		*rows = tuplestore_begin_heap(false, false, work_mem);
	tuplestore_putvalues(*rows, row->map->descriptor, row->values, row->nulls);
}

/* Shred the rows that a field of the row holds. */
static void
shred_child(Shredder *shredder, Row *row, Child *child)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;

	if (is_object(&child->value))
	{
		shred_object(shredder, child->entity, child->value.val.binary.data, row, child->role);
		return;
	}
	iterator = JsonbIteratorInit(child->value.val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM && is_object(&element))
			shred_object(shredder, child->entity, element.val.binary.data, row, child->role);
}

/* Make one row of an object, and then the rows below it.  An empty object is no row. */
static void
shred_object(Shredder *shredder, Entity entity, JsonbContainer *object, Row *parent,
			 const char *role)
{
	Row row = {.entity = entity, .map = entity_map(entity), .parent = parent};
	int count;
	ListCell *cell;

	CHECK_FOR_INTERRUPTS();
	if (JsonContainerSize(object) == 0)
		return;
	if (shredder->seen[entity] == NULL)
		shredder->seen[entity] = palloc0(sizeof(bool) * entity_open(entity)->field_count);
	count = row.map->descriptor->natts;
	row.values = palloc0(sizeof(Datum) * count);
	row.nulls = palloc(sizeof(bool) * count);
	memset(row.nulls, true, sizeof(bool) * count);
	row.ordinal = ++shredder->ordinals[entity];

	shred_fields(shredder, &row, object, "", &row.extra);
	row_set_origin(shredder, &row);
	row_set(&row, row.map->ordinal, Int32GetDatum(row.ordinal));
	if (parent != NULL)
		row_set(&row, row.map->parent_ordinal, Int32GetDatum(parent->ordinal));
	if (role != NULL && row.map->role >= 0)
		row_set(&row, row.map->role, CStringGetTextDatum(role));
	if (row.extra != NULL)
		row_set(&row, row.map->extra,
				JsonbPGetDatum(
					JsonbValueToJsonb(pushJsonbValue(&row.extra, WJB_END_OBJECT, NULL))));
	row_inherit(&row);
	row_store(shredder, &row);
	foreach(cell, row.children)
		shred_child(shredder, &row, lfirst(cell));
}

/* Note the columns that no object of an entity had. */
static void
note_missing(Shredder *shredder)
{
	for (int i = 0; i < ENTITY_COUNT; i++)
	{
		EntityMap *map = entity_map(i);

		if (shredder->seen[i] == NULL)
			continue;
		for (int f = 0; f < map->field_count; f++)
			if (map->fields[f].attribute >= 0 && !map->fields[f].inherited && !shredder->seen[i][f])
				drift_note(&shredder->drift->missing, i, "", map->fields[f].name,
						   map->fields[f].len);
	}
}

/*
 * The rows of a pull, in the current memory context.  The caller ends the
 * tuplestores.  Where the JSON differs from the tables is added to *drift.
 */
EntityRows *
shred(const RowOrigin *origin, Jsonb *pull, Drift *drift)
{
	Shredder shredder = {0};

	shredder.server = CStringGetTextDatum(origin->server);
	shredder.pull_id = CStringGetTextDatum(origin->pull_id);
	shredder.environment = CStringGetTextDatum(origin->environment);
	if (origin->account != NULL)
		shredder.account = CStringGetTextDatum(origin->account);
	shredder.is_current = origin->is_current;
	shredder.rows = palloc0(sizeof(EntityRows));
	shredder.drift = drift;
	shred_object(&shredder, ENTITY_PULL, &pull->root, NULL, NULL);
	note_missing(&shredder);
	return shredder.rows;
}
