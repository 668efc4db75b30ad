/*
 * new_row.c
 *	  A row on its way into a table: read, completed and handed on by the
 *	  table's own BEFORE INSERT trigger.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "engine/new_row.h"

/* Take the row that the trigger was called for.  Error: 39P01 if it is another kind of trigger. */
void
new_row_begin(NewRow *row, FunctionCallInfo fcinfo, const char *function)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("canopy_summit.%s() is for BEFORE INSERT row triggers", function)));
	row->table = RelationGetRelationName(trigger->tg_relation);
	row->descriptor = RelationGetDescr(trigger->tg_relation);
	row->values = palloc(sizeof(Datum) * row->descriptor->natts);
	row->nulls = palloc(sizeof(bool) * row->descriptor->natts);
	heap_deform_tuple(trigger->tg_trigtuple, row->descriptor, row->values, row->nulls);
}

/* The completed row, as the trigger returns it. */
Datum
new_row_tuple(const NewRow *row)
{
	return PointerGetDatum(heap_form_tuple(row->descriptor, row->values, row->nulls));
}

/* The place of a column, from 0.  Most names differ in their first letter; SPI_fnumber() compares all in full. */
int
new_row_column(const NewRow *row, const char *name)
{
	for (int i = 0; i < row->descriptor->natts; i++)
	{
		const char *column = NameStr(TupleDescAttr(row->descriptor, i)->attname);

		if (*column == *name && strcmp(column, name) == 0)
			return i;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("table \"%s\" has no column \"%s\"", row->table, name)));
}

bool
new_row_is_null(const NewRow *row, const char *name)
{
	return row->nulls[new_row_column(row, name)];
}

void
new_row_put(NewRow *row, const char *name, Datum value)
{
	int column = new_row_column(row, name);

	row->values[column] = value;
	row->nulls[column] = false;
}

/* Put a text; NULL is NULL. */
void
new_row_put_text(NewRow *row, const char *name, const char *value)
{
	if (value == NULL)
		new_row_clear(row, name);
	else
		new_row_put(row, name, CStringGetTextDatum(value));
}

void
new_row_clear(NewRow *row, const char *name)
{
	row->nulls[new_row_column(row, name)] = true;
}

/* A text column; NULL if it is NULL. */
const char *
new_row_text(const NewRow *row, const char *name)
{
	int column = new_row_column(row, name);

	return row->nulls[column] ? NULL : TextDatumGetCString(row->values[column]);
}

/* A text column; error 23502 names it if it is NULL. */
const char *
new_row_required_text(const NewRow *row, const char *name)
{
	const char *value = new_row_text(row, name);

	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
						errmsg("column \"%s\" of a new %s cannot be NULL", name, row->table)));
	return value;
}

/* A jsonb column; NULL if it is NULL. */
Jsonb *
new_row_json(const NewRow *row, const char *name)
{
	int column = new_row_column(row, name);

	return row->nulls[column] ? NULL : DatumGetJsonbP(row->values[column]);
}
