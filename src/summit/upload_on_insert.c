/*
 * upload_on_insert.c
 *	  summit_upload_on_insert(): uploads what an app inserts into a table of its
 *	  own, and keeps the row's primary key with the upload.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/confidential.h"
#include "engine/statement.h"
#include "engine/subtransaction.h"
#include "engine/values.h"
#include "summit/source_row.h"
#include "summit/upload.h"

CONFIDENTIAL_FUNCTION(canopy_summit_upload_on_insert);

/* Raise the error for a trigger that was created wrongly. */
static void
trigger_refuse(const char *problem)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
		 errmsg("summit_upload_on_insert() %s", problem),
		 errhint(
			 "CREATE TRIGGER … AFTER INSERT ON … FOR EACH ROW EXECUTE FUNCTION "
			 "summit_upload_on_insert('payload column' [, 'coi column' [, 'strict' | 'defer']]);")));
}

/* Add the value of the column that an argument names, which must have this type; '' is not a coi column. */
static void
trigger_add_column(Values *values, const TriggerData *trigger, int argument, Oid type)
{
	const Trigger *given = trigger->tg_trigger;
	TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
	const char *name = argument < given->tgnargs ? given->tgargs[argument] : "";
	Datum value;
	bool isnull;
	int number;

	if (name[0] == '\0' && argument > 0)
	{
		values_add_unless(values, true, (Datum) 0);
		return;
	}
	number = SPI_fnumber(descriptor, name);
	if (number <= 0)
		trigger_refuse(psprintf("names column \"%s\", which the table does not have", name));
	if (getBaseType(TupleDescAttr(descriptor, number - 1)->atttypid) != type)
		trigger_refuse(
			psprintf("needs column \"%s\" to be of type %s", name, format_type_be(type)));
	value = heap_getattr(trigger->tg_trigtuple, number, descriptor, &isnull);
	values_add_unless(values, isnull, value);
}

/* Insert into summit.upload as the current role. */
static void
trigger_insert(void *arguments)
{
	static Statement insert = {2,
							   {JSONBOID, BYTEAOID},
							   "INSERT INTO summit.upload (payload, coi) VALUES ($1, $2)"};

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	(void) statement_run_values(&insert, arguments);
	SPI_finish();
}

/* Insert, but take a refusal of the payload as an answer; NULL if it was taken. */
static ErrorData *
trigger_try(Values *arguments)
{
	ErrorData *error =
		subtransaction_run(InvalidOid, trigger_insert, arguments, CurrentMemoryContext);

	if (error != NULL && error->sqlerrcode != ERRCODE_INVALID_PARAMETER_VALUE &&
		error->sqlerrcode != ERRCODE_NOT_NULL_VIOLATION)
		ThrowErrorData(error);
	return error;
}

/* Whether a refusal is recorded instead of raised. */
static bool
trigger_defers(const Trigger *trigger)
{
	if (trigger->tgnargs < 3 || strcmp(trigger->tgargs[2], "strict") == 0)
		return false;
	if (strcmp(trigger->tgargs[2], "defer") != 0)
		trigger_refuse("takes 'strict' or 'defer' as its third argument");
	return true;
}

/* summit_upload_on_insert() -> trigger: AFTER INSERT FOR EACH ROW */
static Datum
canopy_summit_upload_on_insert_confidential(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	UploadSource source = {0};
	Values arguments = {0};
	Values nothing = {.count = 2, .nulls = {true, true}};
	bool defers;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		trigger_refuse("is for AFTER INSERT row triggers");
	if (trigger->tg_trigger->tgnargs < 1 || trigger->tg_trigger->tgnargs > 3)
		trigger_refuse("takes one to three arguments");
	trigger_add_column(&arguments, trigger, 0, JSONBOID);
	trigger_add_column(&arguments, trigger, 1, BYTEAOID);
	defers = trigger_defers(trigger->tg_trigger);
	source.table = source_row_table(trigger);
	source.key = source_row_key(trigger, trigger->tg_trigtuple);
	upload_source = &source;
	PG_TRY();
	{
		if (!defers)
			trigger_insert(&arguments);
		else
			source.refusal = trigger_try(&arguments);
		if (source.refusal != NULL)
			trigger_insert(&nothing);
	}
	PG_FINALLY();
	{
		upload_source = NULL;
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}
