/*
 * statement.h
 *	  The engine's own SQL statements, and arrays as their arguments.
 */
#ifndef CANOPY_SUMMIT_ENGINE_STATEMENT_H
#define CANOPY_SUMMIT_ENGINE_STATEMENT_H

#include "postgres.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "engine/values.h"

#define STATEMENT_ARGUMENTS VALUES_MAX

/* A statement that is prepared when it first runs, and kept; planned again when its plan does not fit any more. */
typedef struct Statement
{
	int argument_count;
	Oid arguments[STATEMENT_ARGUMENTS];
	const char *sql;
	SPIPlanPtr plan; /* NULL = not prepared yet */
} Statement;

/* A row of a result, read column by column; what is NULL reads as 0, false or NULL. */
typedef struct Record
{
	HeapTuple row;
	TupleDesc descriptor;
	int column;  /* that was read last, from 1 */
	bool isnull; /* it */
} Record;

extern SPIPlanPtr statement_plan(Statement *statement);
extern uint64 statement_run(Statement *statement, Datum *arguments, const char *nulls);
extern uint64 statement_run_now(Statement *statement, Datum *arguments, const char *nulls);
extern uint64 statement_run_values(Statement *statement, Values *arguments);
extern uint64 statement_run_values_now(Statement *statement, Values *arguments);
extern Datum statement_value(void);
extern Record statement_record(uint64 row);
extern Datum record_datum(Record *record);
extern int64 record_int64(Record *record);
extern char *record_text(Record *record);
extern char *record_name(Record *record);
extern Jsonb *record_json(Record *record);
extern bytea *record_bytes(Record *record);
extern bytea *record_bytes_copy(Record *record);
extern Datum statement_array(Datum *values, bool *nulls, int count, Oid type);
extern Datum statement_texts(List *texts);
extern Datum statement_oids(List *oids);

#define record_boolean(record) DatumGetBool(record_datum(record))
#define record_int16(record)   DatumGetInt16(record_datum(record))
#define record_int32(record)   DatumGetInt32(record_datum(record))
#define record_oid(record)     DatumGetObjectId(record_datum(record))
#define record_time(record)    ((TimestampTz) record_int64(record))

#endif /* CANOPY_SUMMIT_ENGINE_STATEMENT_H */
