/*
 * values.h
 *	  Values one after the other: the arguments of a statement, or the columns of a row.
 */
#ifndef CANOPY_SUMMIT_ENGINE_VALUES_H
#define CANOPY_SUMMIT_ENGINE_VALUES_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#define VALUES_MAX 20

typedef struct Values
{
	int count;
	Datum values[VALUES_MAX];
	bool nulls[VALUES_MAX];
} Values;

extern Datum bytes_datum(const void *bytes, size_t len);
extern void values_add_unless(Values *values, bool isnull, Datum value);
extern void values_add_text(Values *values, const char *value);
extern void values_add_json(Values *values, Jsonb *value);
extern void values_put_row(Values *values, FunctionCallInfo fcinfo);
extern Datum values_row(Values *values, FunctionCallInfo fcinfo);

#define values_add(values, value)            values_add_unless(values, false, value)
#define values_add_boolean(values, value)    values_add(values, BoolGetDatum(value))
#define values_add_int16(values, value)      values_add(values, Int16GetDatum(value))
#define values_add_int32(values, value)      values_add(values, Int32GetDatum(value))
#define values_add_int64(values, value)      values_add(values, Int64GetDatum(value))
#define values_add_oid(values, value)        values_add(values, ObjectIdGetDatum(value))
#define values_add_time(values, value)       values_add(values, TimestampTzGetDatum(value))
#define values_add_bytes(values, bytes, len) values_add(values, bytes_datum(bytes, len))
#define values_add_name(values, value) \
	values_add(values, DirectFunctionCall1(namein, CStringGetDatum(value)))

#endif /* CANOPY_SUMMIT_ENGINE_VALUES_H */
