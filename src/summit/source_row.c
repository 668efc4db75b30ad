/*
 * source_row.c
 *	  Which row of an app's own table a trigger of ours has fired for: its table
 *	  and its primary key, by which the app finds it again.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/jsonb_build.h"
#include "summit/source_row.h"

/* A column of a primary key as JSON: whole numbers as numbers, all else as text. */
static JsonbValue
key_value(const TriggerData *trigger, HeapTuple row, int number)
{
	TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
	Oid type = getBaseType(TupleDescAttr(descriptor, number - 1)->atttypid);
	char *text = SPI_getvalue(row, descriptor, number);
	JsonbValue value;

	if (type == INT2OID || type == INT4OID || type == INT8OID)
	{
		value.type = jbvNumeric;
		value.val.numeric =
			DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		return value;
	}
	return text_value(text);
}

/* Have values written so that every session reads them back as they are, until AtEOXact_GUC() of this level. */
static int
formats_begin(void)
{
	static const char *const formats[][2] = {{"DateStyle", "ISO"},
											 {"IntervalStyle", "postgres"},
											 {"TimeZone", "UTC"},
											 {"bytea_output", "hex"},
											 {"extra_float_digits", "1"}};
	int nest_level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(formats); i++)
		(void) set_config_option(formats[i][0], formats[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

/* The primary key of the row as an object; an empty one if the table has none. */
Jsonb *
source_row_key(const TriggerData *trigger, HeapTuple row)
{
	Oid constraint;
	Bitmapset *columns =
		get_primary_key_attnos(RelationGetRelid(trigger->tg_relation), true, &constraint);
	JsonBuilder builder = {0};
	int nest_level = formats_begin();
	int column = -1;

	builder_begin_object(&builder);
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		int number = column + FirstLowInvalidHeapAttributeNumber;
		JsonbValue name = text_value(
			NameStr(TupleDescAttr(RelationGetDescr(trigger->tg_relation), number - 1)->attname));
		JsonbValue value = key_value(trigger, row, number);

		builder_add(&builder, &name, &value);
	}
	AtEOXact_GUC(false, nest_level);
	return builder_finish_object(&builder);
}

/* The name of the table that the trigger was created on: the app need not know its partitions. */
char *
source_row_table(const TriggerData *trigger)
{
	Oid table = RelationGetRelid(trigger->tg_relation);
	ListCell *cell;

	if (trigger->tg_trigger->tgisclone)
		foreach(cell, get_partition_ancestors(table))
			if (OidIsValid(get_trigger_oid(lfirst_oid(cell), trigger->tg_trigger->tgname, true)))
				table = lfirst_oid(cell);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
									  get_rel_name(table));
}
