/*
 * statement.h
 *	  The engine's own SQL statements, and arrays as their arguments.
 */
#ifndef CANOPY_SUMMIT_ENGINE_STATEMENT_H
#define CANOPY_SUMMIT_ENGINE_STATEMENT_H

#include "postgres.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"

#define STATEMENT_ARGUMENTS 16

/* A statement that is prepared when it first runs, and kept; planned again when its plan does not fit any more. */
typedef struct Statement
{
	int argument_count;
	Oid arguments[STATEMENT_ARGUMENTS];
	const char *sql;
	SPIPlanPtr plan; /* NULL = not prepared yet */
} Statement;

extern SPIPlanPtr statement_plan(Statement *statement);
extern uint64 statement_run(Statement *statement, Datum *arguments, const char *nulls);
extern uint64 statement_run_now(Statement *statement, Datum *arguments, const char *nulls);
extern Datum statement_column(int column, bool *isnull);
extern Datum bytes_datum(const void *bytes, size_t len);
extern Datum statement_text(const char *text, char *null);
extern Datum statement_array(Datum *values, bool *nulls, int count, Oid type);
extern Datum statement_texts(List *texts);
extern Datum statement_oids(List *oids);

#endif /* CANOPY_SUMMIT_ENGINE_STATEMENT_H */
