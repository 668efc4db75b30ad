/*
 * argument.c
 *	  Arguments of SQL functions.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "engine/argument.h"
#include "engine/values.h"

/* The argument, a name, as a C string; NULL if it is NULL. */
const char *
argument_name(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : NameStr(*PG_GETARG_NAME(number));
}

/* The argument as a C string; an error names the argument if it is NULL. */
const char *
argument_required(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" cannot be NULL", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(number));
}

/* The argument as one of a statement. */
void
argument_add(Values *values, FunctionCallInfo fcinfo, int number)
{
	bool isnull = PG_ARGISNULL(number);

	values_add_unless(values, isnull, isnull ? (Datum) 0 : PG_GETARG_DATUM(number));
}
