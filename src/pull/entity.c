/*
 * entity.c
 *	  The entity tables and their mappings, cached.
 *
 * A cached mapping is only valid until its relation changes.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "base/coerce.h"
#include "pull/entity.h"

/* A field named like a column of the engine has a column of its own with this prefix. */
#define DECLARED "declared_"

typedef struct EntityDefinition
{
	const char *table;
	const char *id_column;
} EntityDefinition;

static const EntityDefinition definitions[ENTITY_COUNT] = {
	[ENTITY_PULL] = {"pull", "pull_id"},
	[ENTITY_POLICY] = {"policy", "policy_id"},
	[ENTITY_VEHICLE] = {"vehicle", "vehicle_id"},
	[ENTITY_VEHICLE_COVERAGE] = {"vehicle_coverage", "vehicle_coverage_id"},
	[ENTITY_VEHICLE_DRIVER] = {"vehicle_driver", "driver_id"},
	[ENTITY_DRIVER] = {"driver", "driver_id"},
	[ENTITY_DWELLING] = {"dwelling", "dwelling_id"},
	[ENTITY_DWELLING_COVERAGE] = {"dwelling_coverage", "dwelling_coverage_id"},
	[ENTITY_PROPERTY_DATA] = {"property_data", "property_data_id"},
	[ENTITY_LOCATION] = {"location", "location_id"},
	[ENTITY_LOCATION_COVERAGE] = {"location_coverage", "location_coverage_id"},
	[ENTITY_LOCATION_OPERATION] = {"location_operation", "location_operation_id"},
	[ENTITY_MORTGAGEE] = {"mortgagee", "mortgagee_id"},
	[ENTITY_ADDITIONAL_INTEREST] = {"additional_interest", "additional_interest_id"},
	[ENTITY_NAMED_INSURED] = {"named_insured", "named_insured_id"},
	[ENTITY_COMMERCIAL_NAMED_INSURED] = {"commercial_named_insured", "commercial_named_insured_id"},
	[ENTITY_LIFE_DETAILS] = {"life_details", "life_policy_details_id"},
	[ENTITY_LIFE_RIDER] = {"life_rider", "life_policy_rider_id"},
	[ENTITY_LIFE_BENEFICIARY] = {"life_beneficiary", "life_policy_beneficiary_id"},
	[ENTITY_POLICY_FORM] = {"policy_form", "policy_form_id"},
	[ENTITY_PREMIUM_GROUP] = {"premium_group", "premium_group_id"},
	[ENTITY_POLICY_CHECK] = {"policy_check", "policy_check_id"},
	[ENTITY_DOCUMENT] = {"document", "document_id"},
	[ENTITY_ADDRESS] = {"address", "address_id"},
	[ENTITY_CLAIM] = {"claim", "claim_id"},
	[ENTITY_DRIVING_RECORD] = {"driving_record", "driving_record_id"},
	[ENTITY_LOSS_EVENT] = {"loss_event", "loss_event_id"},
	[ENTITY_AGENT] = {"agent", "agent_info_id"},
	[ENTITY_ANSWER_SECTION] = {"answer_section", "consumer_flow_section_id"},
	[ENTITY_ANSWER] = {"answer", "consumer_flow_section_field_id"},
	[ENTITY_ANSWER_FILE] = {"answer_file", "file_id"},
};

/* Which field of which entity holds the rows of which other; "life_" is a group's prefix. */
typedef struct EntityLink
{
	Entity parent;
	const char *field;
	Entity child;
} EntityLink;

static const EntityLink links[] = {
	{ENTITY_PULL, "policies", ENTITY_POLICY},
	{ENTITY_PULL, "drivers", ENTITY_DRIVER},
	{ENTITY_PULL, "documents", ENTITY_DOCUMENT},
	{ENTITY_PULL, "addresses", ENTITY_ADDRESS},
	{ENTITY_PULL, "claims", ENTITY_CLAIM},
	{ENTITY_PULL, "driving_records", ENTITY_DRIVING_RECORD},
	{ENTITY_PULL, "loss_events", ENTITY_LOSS_EVENT},
	{ENTITY_PULL, "agents", ENTITY_AGENT},
	{ENTITY_PULL, "answers", ENTITY_ANSWER_SECTION},
	{ENTITY_PULL, "primary_address", ENTITY_ADDRESS},
	{ENTITY_POLICY, "vehicles", ENTITY_VEHICLE},
	{ENTITY_POLICY, "dwellings", ENTITY_DWELLING},
	{ENTITY_POLICY, "locations", ENTITY_LOCATION},
	{ENTITY_POLICY, "named_insureds", ENTITY_NAMED_INSURED},
	{ENTITY_POLICY, "commercial_named_insureds", ENTITY_COMMERCIAL_NAMED_INSURED},
	{ENTITY_POLICY, "additional_interests", ENTITY_ADDITIONAL_INTEREST},
	{ENTITY_POLICY, "forms_and_endorsements", ENTITY_POLICY_FORM},
	{ENTITY_POLICY, "premium_groups", ENTITY_PREMIUM_GROUP},
	{ENTITY_POLICY, "policy_check", ENTITY_POLICY_CHECK},
	{ENTITY_POLICY, "life_life_policy_details", ENTITY_LIFE_DETAILS},
	{ENTITY_POLICY, "life_life_policy_riders", ENTITY_LIFE_RIDER},
	{ENTITY_POLICY, "life_life_policy_beneficiaries", ENTITY_LIFE_BENEFICIARY},
	{ENTITY_VEHICLE, "coverages", ENTITY_VEHICLE_COVERAGE},
	{ENTITY_VEHICLE, "drivers", ENTITY_VEHICLE_DRIVER},
	{ENTITY_VEHICLE, "garaging_address", ENTITY_ADDRESS},
	{ENTITY_VEHICLE, "lien_holder_address", ENTITY_ADDRESS},
	{ENTITY_DWELLING, "address", ENTITY_ADDRESS},
	{ENTITY_DWELLING, "coverages", ENTITY_DWELLING_COVERAGE},
	{ENTITY_DWELLING, "mortgagees", ENTITY_MORTGAGEE},
	{ENTITY_DWELLING, "mortgagee_address", ENTITY_ADDRESS},
	{ENTITY_DWELLING, "property_data", ENTITY_PROPERTY_DATA},
	{ENTITY_LOCATION, "address", ENTITY_ADDRESS},
	{ENTITY_LOCATION, "coverages", ENTITY_LOCATION_COVERAGE},
	{ENTITY_LOCATION, "operations", ENTITY_LOCATION_OPERATION},
	{ENTITY_LOCATION, "mortgagees", ENTITY_MORTGAGEE},
	{ENTITY_LOCATION, "property_data", ENTITY_PROPERTY_DATA},
	{ENTITY_MORTGAGEE, "mortgagee_address", ENTITY_ADDRESS},
	{ENTITY_ADDITIONAL_INTEREST, "additional_interest_address", ENTITY_ADDRESS},
	{ENTITY_LIFE_DETAILS, "policy_owner_address", ENTITY_ADDRESS},
	{ENTITY_LIFE_DETAILS, "policy_payor_address", ENTITY_ADDRESS},
	{ENTITY_AGENT, "address", ENTITY_ADDRESS},
	{ENTITY_ANSWER_SECTION, "fields", ENTITY_ANSWER},
	{ENTITY_ANSWER, "value", ENTITY_ANSWER_FILE},
};

/* Objects that have no table: their fields are columns or links of the parent, by prefix. */
static const struct
{
	Entity parent;
	const char *field;
} groups[] = {
	{ENTITY_PULL, "funnel"},
	{ENTITY_PULL, "funnel_assignee"},
	{ENTITY_POLICY, "life"},
};

/* Other spellings of fields that the API's own examples have. */
static const struct
{
	Entity entity;
	const char *spelling;
	const char *field;
} spellings[] = {
	{ENTITY_LIFE_BENEFICIARY, "name_insured_id", "named_insured_id"},
};

PG_FUNCTION_INFO_V1(canopy_summit_entities);

static EntityMap maps[ENTITY_COUNT];
static bool in_use[ENTITY_COUNT]; /* by the pull that is being shredded */

/* The name of an entity's table. */
const char *
entity_name(Entity entity)
{
	return definitions[entity].table;
}

/* Relation cache callback: forget what was read from a changed table. */
static void
entity_invalidate(Datum argument, Oid relation)
{
	for (int i = 0; i < ENTITY_COUNT; i++)
		if (relation == InvalidOid || maps[i].relation == relation)
			maps[i].valid = false;
}

/* jsonb's own order of keys. */
static int
field_compare(const void *left, const void *right)
{
	const EntityField *a = left;
	const EntityField *b = right;

	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->name, b->name, a->len);
}

/* The field of this name among the first `count`, or a new one behind them. */
static EntityField *
field_add(EntityMap *map, const char *name)
{
	EntityField *field;

	for (int i = 0; i < map->field_count; i++)
		if (strcmp(map->fields[i].name, name) == 0)
			return &map->fields[i];
	field = &map->fields[map->field_count++];
	field->name = name;
	field->len = strlen(name);
	field->attribute = -1;
	field->child = ENTITY_NONE;
	return field;
}

/* Columns that belong to the engine and never take a JSON field, if they have the engine's type. */
static int *
engine_column(EntityMap *map, Entity entity, Form_pg_attribute column)
{
	const struct
	{
		const char *name;
		Oid type;
		int *attribute;
	} columns[] = {
		{"server", TEXTOID, &map->server},
		{"pull_id", TEXTOID, &map->pull_id},
		{"environment", TEXTOID, &map->environment},
		{"account_identifier", TEXTOID, &map->account_identifier},
		{"is_current", BOOLOID, &map->is_current},
		{"ordinal", INT4OID, &map->ordinal},
		{"parent_ordinal", INT4OID, &map->parent_ordinal},
		{"address_role", TEXTOID, &map->role},
		{"extra", JSONBOID, &map->extra},
	};

	/* The one entity with a field of that name. */
	if (entity == ENTITY_PULL && strcmp(NameStr(column->attname), "account_identifier") == 0)
		return NULL;
	for (int i = 0; i < lengthof(columns); i++)
		if (strcmp(columns[i].name, NameStr(column->attname)) == 0 &&
			columns[i].type == getBaseType(column->atttypid))
			return columns[i].attribute;
	return NULL;
}

/* Take one column into the map: engine's, or a field's and perhaps inherited. */
static void
map_add_column(EntityMap *map, Entity entity, int attribute)
{
	Form_pg_attribute column = TupleDescAttr(map->descriptor, attribute);
	const char *name = NameStr(column->attname);
	int *engine = engine_column(map, entity, column);
	EntityField *field;

	if (engine != NULL)
	{
		*engine = attribute;
		return;
	}
	field = field_add(map, strncmp(name, DECLARED, strlen(DECLARED)) == 0 ? name + strlen(DECLARED)
																		  : name);
	field->attribute = attribute;
	field->kind = coerce_kind(getBaseType(column->atttypid), name);
	if (strcmp(name, definitions[entity].id_column) == 0)
	{
		map->id = attribute;
		return;
	}
	for (int i = 0; i < ENTITY_COUNT; i++)
		if (i != ENTITY_VEHICLE_DRIVER && strcmp(name, definitions[i].id_column) == 0)
			map->inheritances[map->inheritance_count++] = (EntityInheritance){attribute, i};
}

/* Note which fields are only reached through a group; of groups in groups the innermost counts. */
static void
map_assign_groups(EntityMap *map, Entity entity)
{
	for (int i = 0; i < lengthof(groups); i++)
	{
		int len = strlen(groups[i].field);

		for (int f = 0; groups[i].parent == entity && f < map->field_count; f++)
			if (map->fields[f].len > len && map->fields[f].name[len] == '_' &&
				memcmp(map->fields[f].name, groups[i].field, len) == 0)
				map->fields[f].prefix_len = Max(map->fields[f].prefix_len, len + 1);
	}
}

/* Read one table's definition into its map; the caller holds a lock on it. */
static void
map_build(EntityMap *map, Entity entity, Oid oid)
{
	Relation relation = table_open(oid, NoLock);
	MemoryContext old;

	if (map->context)
		MemoryContextDelete(map->context);
	*map = (EntityMap){.relation = oid,
					   .id = -1,
					   .server = -1,
					   .pull_id = -1,
					   .environment = -1,
					   .account_identifier = -1,
					   .is_current = -1,
					   .ordinal = -1,
					   .parent_ordinal = -1,
					   .role = -1,
					   .extra = -1};
	map->context =
		AllocSetContextCreate(CacheMemoryContext, "canopy_summit entity", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(map->context);
	map->descriptor = CreateTupleDescCopyConstr(RelationGetDescr(relation));
	map->fields = palloc0(sizeof(EntityField) *
						  (map->descriptor->natts + lengthof(links) + lengthof(groups)));
	map->inheritances = palloc0(sizeof(EntityInheritance) * map->descriptor->natts);
	for (int i = 0; i < map->descriptor->natts; i++)
		if (!TupleDescAttr(map->descriptor, i)->attisdropped)
			map_add_column(map, entity, i);
	for (int i = 0; i < lengthof(links); i++)
		if (links[i].parent == entity)
			field_add(map, links[i].field)->child = links[i].child;
	for (int i = 0; i < lengthof(groups); i++)
		if (groups[i].parent == entity)
			field_add(map, groups[i].field)->group = true;
	map_assign_groups(map, entity);
	qsort(map->fields, map->field_count, sizeof(EntityField), field_compare);
	MemoryContextSwitchTo(old);
	table_close(relation, NoLock);
	map->valid = true;
}

/*
 * The mapping of an entity, brought up to date.  Its table is locked against
 * changes of its definition until the end of the transaction, so the mapping
 * stays the same afterwards, whatever invalidations arrive.
 */
static EntityMap *
entity_open(Entity entity)
{
	static bool registered = false;
	EntityMap *map = &maps[entity];

	if (!registered)
	{
		CacheRegisterRelcacheCallback(entity_invalidate, (Datum) 0);
		registered = true;
	}
	if (map->valid)
		LockRelationOid(map->relation, RowExclusiveLock);
	while (!map->valid)
	{
		Oid oid =
			get_relname_relid(definitions[entity].table, get_namespace_oid("canopy_summit", false));

		if (!OidIsValid(oid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("table canopy_summit.%s does not exist", definitions[entity].table)));
		LockRelationOid(oid, RowExclusiveLock);
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(oid)))
			map_build(map, entity, oid);
	}
	return map;
}

/* Begin with a pull: the first use of an entity brings its mapping up to date, and no later one may. */
void
entity_begin(void)
{
	memset(in_use, 0, sizeof(in_use));
}

/* The mapping of an entity for the pull that entity_begin() began. */
EntityMap *
entity_use(Entity entity)
{
	if (!in_use[entity])
		entity_open(entity);
	in_use[entity] = true;
	return &maps[entity];
}

/* The mapping of an entity that is in use. */
EntityMap *
entity_map(Entity entity)
{
	return &maps[entity];
}

/* The field a JSON key names, or NULL. */
EntityField *
entity_find_field(EntityMap *map, const char *name, int len)
{
	EntityField key = {.name = name, .len = len};

	return bsearch(&key, map->fields, map->field_count, sizeof(EntityField), field_compare);
}

/* The name in snake case behind a prefix, in the buffer; false if it is in snake case already, or too long. */
static bool
snake_case(const char *prefix, const char *name, int len, char *buffer, int size)
{
	int at = strlcpy(buffer, prefix, size);
	bool differs = false;

	for (int i = 0; i < len; i++)
	{
		bool is_upper = name[i] >= 'A' && name[i] <= 'Z';

		if (at + 2 >= size)
			return false;
		if (is_upper && i > 0)
			buffer[at++] = '_';
		buffer[at++] = is_upper ? name[i] - 'A' + 'a' : name[i];
		differs |= is_upper;
	}
	buffer[at] = '\0';
	return differs;
}

/*
 * The field that a JSON key is another spelling of, or NULL: lists and addresses
 * also come in PascalCase or camelCase (guide, quirk 24).
 */
EntityField *
entity_find_twin(Entity entity, const char *prefix, const char *name, int len)
{
	char twin[2 * NAMEDATALEN];
	EntityField *field;

	for (int i = 0; i < lengthof(spellings); i++)
		if (spellings[i].entity == entity && *prefix == '\0' &&
			strlen(spellings[i].spelling) == len && memcmp(spellings[i].spelling, name, len) == 0)
			return entity_find_field(&maps[entity], spellings[i].field, strlen(spellings[i].field));
	if (!snake_case(prefix, name, len, twin, sizeof(twin)))
		return NULL;
	field = entity_find_field(&maps[entity], twin, strlen(twin));
	return field != NULL && field->child != ENTITY_NONE && field->prefix_len == strlen(prefix)
			   ? field
			   : NULL;
}

/* canopy_summit.entities() -> setof text: the names of the entity tables */
Datum
canopy_summit_entities(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < ENTITY_COUNT; i++)
	{
		Datum name = CStringGetTextDatum(definitions[i].table);
		bool isnull = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &name, &isnull);
	}
	return (Datum) 0;
}
