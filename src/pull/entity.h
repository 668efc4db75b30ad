/*
 * entity.h
 *	  The entity tables as the shredder (shred.c) and what writes them (entity_batch.c)
 *	  see them.
 *
 * A table's definition is its mapping: a column takes the JSON field of its
 * name, as the type it has.  What a definition cannot say stands here: which
 * field of which entity holds the rows of which table.
 */
#ifndef CANOPY_SUMMIT_PULL_ENTITY_H
#define CANOPY_SUMMIT_PULL_ENTITY_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "nodes/pg_list.h"

#include "base/coerce.h"

typedef enum Entity
{
	ENTITY_NONE = -1,
	ENTITY_PULL,
	ENTITY_POLICY,
	ENTITY_VEHICLE,
	ENTITY_VEHICLE_COVERAGE,
	ENTITY_VEHICLE_DRIVER,
	ENTITY_DRIVER,
	ENTITY_DWELLING,
	ENTITY_DWELLING_COVERAGE,
	ENTITY_PROPERTY_DATA,
	ENTITY_LOCATION,
	ENTITY_LOCATION_COVERAGE,
	ENTITY_LOCATION_OPERATION,
	ENTITY_MORTGAGEE,
	ENTITY_ADDITIONAL_INTEREST,
	ENTITY_NAMED_INSURED,
	ENTITY_COMMERCIAL_NAMED_INSURED,
	ENTITY_LIFE_DETAILS,
	ENTITY_LIFE_RIDER,
	ENTITY_LIFE_BENEFICIARY,
	ENTITY_POLICY_FORM,
	ENTITY_PREMIUM_GROUP,
	ENTITY_POLICY_CHECK,
	ENTITY_DOCUMENT,
	ENTITY_ADDRESS,
	ENTITY_CLAIM,
	ENTITY_DRIVING_RECORD,
	ENTITY_LOSS_EVENT,
	ENTITY_AGENT,
	ENTITY_ANSWER_SECTION,
	ENTITY_ANSWER,
	ENTITY_ANSWER_FILE
} Entity;

#define ENTITY_COUNT (ENTITY_ANSWER_FILE + 1)

/* What a JSON field of an entity is read into: a column, rows of another entity, both, or a group. */
typedef struct EntityField
{
	const char *name;
	int len;
	int attribute; /* of the column, from 0; -1 = none */
	ColumnKind kind;
	Entity child;   /* ENTITY_NONE = none */
	bool group;     /* an object whose fields are columns <name>_<field> */
	int prefix_len; /* of the group it is in, "<group>_"; 0 = none */
} EntityField;

/* A column that takes the id of an ancestor unless the JSON has its own value. */
typedef struct EntityInheritance
{
	int attribute;
	Entity ancestor;
} EntityInheritance;

/* One entity table, read from its relation descriptor. */
typedef struct EntityMap
{
	Oid relation;
	bool valid; /* false = the table has changed since */
	MemoryContext context;
	TupleDesc descriptor;
	int field_count;
	EntityField *fields; /* in order of length, then bytes */
	int inheritance_count;
	EntityInheritance *inheritances;
	int id; /* attributes from 0, -1 = none */
	int server;
	int pull_id;
	int environment;
	int account_identifier;
	int is_current;
	int ordinal;
	int parent_ordinal;
	int role;
	int extra;
} EntityMap;

/* The rows of one pull, a List of HeapTupleHeader each entity. */
typedef struct EntityRows
{
	List *rows[ENTITY_COUNT];
} EntityRows;

extern const char *entity_name(Entity entity);
extern void entity_begin(void);
extern EntityMap *entity_use(Entity entity);
extern EntityMap *entity_map(Entity entity);
extern EntityField *entity_find_field(EntityMap *map, const char *name, int len);
extern EntityField *entity_find_twin(Entity entity, const char *prefix, const char *name, int len);

#endif /* CANOPY_SUMMIT_PULL_ENTITY_H */
