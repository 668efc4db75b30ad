/*
 * values.c
 *	  Values one after the other: the arguments of a statement, or the columns of a row.
 *
 * What is made here is in the current memory context; what is passed by reference stays
 * where it is.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "engine/values.h"

/* Add a value, or NULL in its place. */
void
values_add_unless(Values *values, bool isnull, Datum value)
{
	if (values->count >= VALUES_MAX)
		elog(ERROR, "more than %d values", VALUES_MAX);
	values->values[values->count] = isnull ? (Datum) 0 : value;
	values->nulls[values->count++] = isnull;
}

/* Add a text; NULL is NULL. */
void
values_add_text(Values *values, const char *value)
{
	values_add_unless(values, value == NULL, value ? CStringGetTextDatum(value) : (Datum) 0);
}

/* Bytes as a bytea. */
Datum
bytes_datum(const void *bytes, size_t len)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes, len)); /* both are varlena */
}

/* Add a jsonb; NULL is NULL. */
void
values_add_json(Values *values, Jsonb *value)
{
	values_add_unless(values, value == NULL, JsonbPGetDatum(value));
}

/* Put the values as a row into the result of a function that has called InitMaterializedSRF(). */
void
values_put_row(Values *values, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	tuplestore_putvalues(result->setResult, result->setDesc, values->values, values->nulls);
}

/* The values as the row that a function returns. */
Datum
values_row(Values *values, FunctionCallInfo fcinfo)
{
	TupleDesc descriptor;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(descriptor), values->values, values->nulls));
}
