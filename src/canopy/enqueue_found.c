/*
 * enqueue_found.c
 *	  Jobs of the caller's for what the engine finds in tables that he may not read.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "canopy/enqueue_found.h"
#include "engine/engine.h"
#include "engine/statement.h"
#include "engine/values.h"

#define FOUND_COLUMNS 3 /* of a statement that finds: operation, params, dedupe_key */

/* Run the statement as the engine, and take its arrays into the caller's memory; false if it finds nothing. */
static bool
find_as_engine(Statement *find, Datum *arguments, Values *found)
{
	MemoryContext caller = CurrentMemoryContext;
	Engine engine;
	Record record;

	engine_begin(&engine);
	statement_run(find, arguments, NULL);
	record = statement_record(0);
	for (int i = 0; i < FOUND_COLUMNS; i++)
	{
		Datum array = record_datum(&record);
		MemoryContext old = MemoryContextSwitchTo(caller);

		if (!record.isnull)
			values_add(found, PointerGetDatum(PG_DETOAST_DATUM_COPY(array)));
		MemoryContextSwitchTo(old);
	}
	engine_end(&engine);
	return !record.isnull;
}

/*
 * Enqueue what a statement finds: one row, of arrays of operations, parameters and
 * dedupe_keys, or of NULLs.  The jobs are the caller's, whose right to insert them is
 * the table's own.  Returns how many there are.
 */
int64
enqueue_found(const char *server, Statement *find, Datum *arguments, int priority)
{
	static Statement insert = {
		5,
		{TEXTOID, INT4OID, TEXTARRAYOID, JSONBARRAYOID, TEXTARRAYOID},
		"INSERT INTO canopy_summit.job (server, priority, operation, params, dedupe_key)"
		" SELECT $1, $2, f.* FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4),"
		"  pg_catalog.unnest($5)) AS f(operation, params, dedupe_key)"};
	Values values = {0};
	int64 count;

	values_add_text(&values, server);
	values_add_int32(&values, priority);
	if (!find_as_engine(find, arguments, &values))
		return 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	count = (int64) statement_run_values(&insert, &values);
	SPI_finish();
	return count;
}
