/*
 * arguments.c
 *	  Arguments of an SQL function as members of a JSON object, which are called like
 *	  the API's fields.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/jsonb_build.h"
#include "canopy/arguments.h"

/* A date in a format of three numbers: year, month, day in some order.  Error: 22023. */
static const char *
date_text(DateADT date, const MemberArgument *argument)
{
	int year = 0;
	int month = 0;
	int day = 0;

	if (!DATE_NOT_FINITE(date))
		j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	if (year < 1 || year > 9999)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" is out of range", argument->name),
						errhint("A day of the years 1 to 9999.")));
	return argument->type == ARGUMENT_BIRTH ? psprintf("%02d/%02d/%04d", month, day, year)
											: psprintf("%04d-%02d-%02d", year, month, day);
}

/* A JSON value that is not text. */
static void
value_add(JsonBuilder *builder, const char *name, Datum datum, ArgumentType type)
{
	JsonbValue key = text_value(name);
	JsonbValue value;

	if (type == ARGUMENT_NUMERIC)
	{
		Numeric number = DatumGetNumeric(datum);

		if (numeric_is_nan(number) || numeric_is_inf(number))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("argument \"%s\" is no number", name)));
		value = (JsonbValue){.type = jbvNumeric, .val.numeric = number};
	}
	else
	{
		Jsonb *json = DatumGetJsonbP(datum);

		if (JB_ROOT_IS_SCALAR(json))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("argument \"%s\" must be a JSON object", name)));
		value.type = jbvBinary;
		value.val.binary.data = &json->root;
		value.val.binary.len = VARSIZE(json) - VARHDRSZ;
	}
	builder_add(builder, &key, &value);
}

/*
 * Add the arguments that are not NULL; returns how many there are.  Errors: 22004 one that is
 * required is NULL, 22023 a value that JSON does not know.
 */
int
arguments_add(JsonBuilder *builder, FunctionCallInfo fcinfo, const MemberArgument *arguments)
{
	int number = 0;

	for (; arguments[number].name != NULL; number++)
	{
		const MemberArgument *argument = &arguments[number];
		Datum datum = PG_GETARG_DATUM(number);
		const char *member = argument->member ? argument->member : argument->name;

		if (PG_ARGISNULL(number) && argument->required)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument \"%s\" cannot be NULL", argument->name)));
		if (PG_ARGISNULL(number) || argument->type == ARGUMENT_ELSEWHERE)
			continue;
		if (argument->type == ARGUMENT_TEXT)
			builder_add_text(builder, member, TextDatumGetCString(datum));
		else if (argument->type == ARGUMENT_BOOLEAN)
			builder_add_boolean(builder, member, DatumGetBool(datum));
		else if (argument->type == ARGUMENT_INTEGER)
			builder_add_integer(builder, member, DatumGetInt32(datum));
		else if (argument->type == ARGUMENT_DATE)
			builder_add_text(builder, member, date_text(DatumGetDateADT(datum), argument));
		else if (argument->type == ARGUMENT_BIRTH)
			builder_add_text(builder, psprintf("%s_str", member),
							 date_text(DatumGetDateADT(datum), argument));
		else
			value_add(builder, member, datum, argument->type);
	}
	return number;
}
