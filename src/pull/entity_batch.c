/*
 * entity_batch.c
 *	  Writing the rows of pulls, those of several pulls by the same statements.
 *
 * A pull has few rows in many tables, so that a statement costs more than its rows
 * do.  What a batch holds is not in the tables yet: it is written before anything
 * that has to find it there, and at the latest by entity_batch_end().
 *
 * Rows go in by INSERT … SELECT from an array of the table's row type, so that a
 * table may be partitioned or distributed without a change here.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "engine/statement.h"
#include "pull/entity_batch.h"

#define ARRAY_SIZE (256 * 1024)  /* bytes of rows that one INSERT takes, but for the last one's */
#define BATCH_SIZE (1024 * 1024) /* bytes of rows that wait, but for the last pull's */

struct EntityBatch
{
	MemoryContext context; /* of what follows; reset once that is written */
	const char *server;    /* of all pulls, if there are any */
	List *pull_ids;        /* of char *: of the pulls whose rows wait */
	List *replaced;        /* of char *: of those among them that have rows already */
	List *rows[ENTITY_COUNT];
	Size size;
};

typedef enum Deed
{
	DEED_INSERT,
	DEED_DELETE,
	DEED_SHOW,
	DEED_COUNT
} Deed;

/* What is done to the tables; that of INSERT's argument is an array of the table's own. */
static const Statement deeds[DEED_COUNT] = {
	[DEED_INSERT] = {1,
					 {InvalidOid},
					 "INSERT INTO canopy_summit.%s SELECT r.* FROM pg_catalog.unnest($1) AS r"},
	[DEED_DELETE] = {2,
					 {TEXTOID, TEXTARRAYOID},
					 "DELETE FROM canopy_summit.%s WHERE server = $1 AND pull_id = ANY ($2)"},
	[DEED_SHOW] =
		{3,
		 {TEXTOID, TEXTOID, BOOLOID},
		 "UPDATE canopy_summit.%s SET is_current = $3 WHERE server = $1 AND pull_id = $2"},
};

/* The statement that does something to one entity's table. */
static Statement *
entity_statement(Deed deed, Entity entity)
{
	static Statement statements[DEED_COUNT][ENTITY_COUNT];
	Statement *statement = &statements[deed][entity];
	MemoryContext old;

	if (statement->sql != NULL)
		return statement;
	*statement = deeds[deed];
	old = MemoryContextSwitchTo(TopMemoryContext);
	statement->sql = psprintf(deeds[deed].sql, entity_name(entity));
	MemoryContextSwitchTo(old);
	return statement;
}

/* The one that inserts rows, planned for the row type that the table has now. */
static Statement *
entity_insertion(Entity entity)
{
	Statement *statement = entity_statement(DEED_INSERT, entity);
	Oid type = get_array_type(entity_map(entity)->descriptor->tdtypeid);

	if (statement->plan != NULL && statement->arguments[0] != type)
	{
		SPI_freeplan(statement->plan);
		statement->plan = NULL;
	}
	statement->arguments[0] = type;
	return statement;
}

/* INSERT rows of one entity, a List of HeapTupleHeader; an array takes so many of them that copying it costs little. */
static void
entity_insert(Entity entity, List *rows)
{
	Datum *values = palloc(sizeof(Datum) * list_length(rows));
	Size size = 0;
	int count = 0;
	ListCell *cell;

	foreach(cell, rows)
	{
		HeapTupleHeader row = lfirst(cell);

		values[count++] = PointerGetDatum(row);
		size += HeapTupleHeaderGetDatumLength(row);
		if (size >= ARRAY_SIZE || lnext(rows, cell) == NULL)
		{
			Datum array =
				statement_array(values, NULL, count, entity_map(entity)->descriptor->tdtypeid);

			statement_run(entity_insertion(entity), &array, NULL);
			pfree(DatumGetPointer(array));
			size = count = 0;
		}
	}
	pfree(values);
}

/* Write what waits. */
static void
batch_write(EntityBatch *batch)
{
	MemoryContext old;

	if (batch->pull_ids == NIL)
		return;
	old = MemoryContextSwitchTo(batch->context);
	for (int i = 0; i < ENTITY_COUNT; i++)
	{
		if (batch->replaced != NIL)
			statement_run(entity_statement(DEED_DELETE, i),
						  (Datum[]){CStringGetTextDatum(batch->server),
									statement_texts(batch->replaced)},
						  NULL);
		if (batch->rows[i] != NIL)
			entity_insert(i, batch->rows[i]);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(batch->context);
	*batch = (EntityBatch){.context = batch->context};
}

static bool
texts_contain(List *texts, const char *text)
{
	ListCell *cell;

	foreach(cell, texts)
		if (strcmp(lfirst(cell), text) == 0)
			return true;
	return false;
}

/* A batch without rows, in the current memory context; entity_batch_end() is its end. */
EntityBatch *
entity_batch_begin(void)
{
	EntityBatch *batch = palloc0(sizeof(EntityBatch));

	batch->context = AllocSetContextCreate(CurrentMemoryContext, "canopy_summit entity batch",
										   ALLOCSET_DEFAULT_SIZES);
	return batch;
}

/*
 * Get ready for the rows of a pull: returns the memory context in which to make them
 * for entity_batch_add().  A batch has pulls of one server, and each pull once.
 */
MemoryContext
entity_batch_prepare(EntityBatch *batch, Datum *keys)
{
	if (batch->pull_ids != NIL && (strcmp(batch->server, TextDatumGetCString(keys[0])) != 0 ||
								   texts_contain(batch->pull_ids, TextDatumGetCString(keys[1]))))
		batch_write(batch);
	return batch->context;
}

/* Put the rows of a pull to those that wait; they replace those that it has, if it may have any. */
void
entity_batch_add(EntityBatch *batch, Datum *keys, EntityRows *rows, bool replace)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	char *pull_id = TextDatumGetCString(keys[1]);

	if (batch->pull_ids == NIL)
		batch->server = TextDatumGetCString(keys[0]);
	batch->pull_ids = lappend(batch->pull_ids, pull_id);
	if (replace)
		batch->replaced = lappend(batch->replaced, pull_id);
	for (int i = 0; i < ENTITY_COUNT; i++)
	{
		ListCell *cell;

		foreach(cell, rows->rows[i])
			batch->size += HeapTupleHeaderGetDatumLength((HeapTupleHeader) lfirst(cell));
		batch->rows[i] = list_concat(batch->rows[i], rows->rows[i]);
	}
	MemoryContextSwitchTo(old);
	if (batch->size >= BATCH_SIZE)
		batch_write(batch);
}

/* Let the views show the rows that a pull has, or no longer. */
void
entity_batch_show(EntityBatch *batch, Datum *keys, bool is_current)
{
	Datum arguments[3] = {keys[0], keys[1], BoolGetDatum(is_current)};

	batch_write(batch);
	for (int i = 0; i < ENTITY_COUNT; i++)
		statement_run(entity_statement(DEED_SHOW, i), arguments, NULL);
}

/* Write what waits, and free the batch. */
void
entity_batch_end(EntityBatch *batch)
{
	batch_write(batch);
	MemoryContextDelete(batch->context);
	pfree(batch);
}
