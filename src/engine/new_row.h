/*
 * new_row.h
 *	  A row on its way into a table, in a BEFORE INSERT trigger.
 */
#ifndef CANOPY_SUMMIT_ENGINE_NEW_ROW_H
#define CANOPY_SUMMIT_ENGINE_NEW_ROW_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fmgr.h"
#include "utils/jsonb.h"

typedef struct NewRow
{
	const char *table;
	TupleDesc descriptor;
	Datum *values;
	bool *nulls;
} NewRow;

extern void new_row_begin(NewRow *row, FunctionCallInfo fcinfo, const char *function);
extern Datum new_row_tuple(const NewRow *row);
extern int new_row_column(const NewRow *row, const char *name);
extern bool new_row_is_null(const NewRow *row, const char *name);
extern void new_row_put(NewRow *row, const char *name, Datum value);
extern void new_row_put_text(NewRow *row, const char *name, const char *value);
extern void new_row_clear(NewRow *row, const char *name);
extern const char *new_row_text(const NewRow *row, const char *name);
extern const char *new_row_required_text(const NewRow *row, const char *name);
extern Jsonb *new_row_json(const NewRow *row, const char *name);

#endif /* CANOPY_SUMMIT_ENGINE_NEW_ROW_H */
