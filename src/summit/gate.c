/*
 * gate.c
 *	  summit_require_compliant(): asks on an app's own table whether a holder
 *	  complies, and notes or refuses a row if not.
 *
 * The policies by which a holder is judged are locked before they are read, so that an event
 * of one either has been applied, and is seen, or is applied after the row's COMMIT.  Who applies
 * events waits for none of these locks, and goes on with other policies.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "base/confidential.h"
#include "engine/engine.h"
#include "engine/lock.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "summit/source_row.h"

CONFIDENTIAL_FUNCTION(canopy_summit_require_compliant);

#define HOLDER_IDS 4 /* property, unit, lease, tenant */

typedef struct Gate
{
	bool refuses;
	bool refuses_unknown;
} Gate;

/* What a holder is judged to be. */
typedef struct Verdict
{
	const char *verdict; /* NULL = nothing is against it */
	const char *codes;   /* "expired, no_policy" */
} Verdict;

#define HOLDER_TYPES TEXTOID, TEXTOID, TEXTOID, TEXTOID

static Statement find_subjects = {HOLDER_IDS,
								  {HOLDER_TYPES},
								  "SELECT canopy_summit.gate_subjects($1, $2, $3, $4)"};
static Statement judge = {HOLDER_IDS,
						  {HOLDER_TYPES},
						  "SELECT g.verdict, array_to_string(g.codes, ', ')"
						  " FROM canopy_summit.gate_verdict($1, $2, $3, $4) AS g"};
static Statement note = {
	HOLDER_IDS + 2,
	{HOLDER_TYPES, TEXTOID, JSONBOID},
	"INSERT INTO canopy_summit.gate_event"
	" SELECT nextval('canopy_summit.gate_event_id_seq'), canopy_summit.hold_name(g.server), $5, $6, $1, $2, $3, $4, g.verdict,"
	" g.codes, coalesce(g.requirement_ids, '{}'), g.today, now(), session_user"
	" FROM canopy_summit.gate_verdict($1, $2, $3, $4) AS g",
};

/* Raise the error for a trigger that was created wrongly. */
static void
gate_complain(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("summit_require_compliant() %s", problem),
			 errhint("CREATE TRIGGER … AFTER INSERT OR UPDATE ON … FOR EACH ROW EXECUTE FUNCTION "
					 "summit_require_compliant('property, unit, lease, tenant columns' "
					 "[, 'flag' | 'refuse' [, 'refuse_unknown']]);")));
}

/* Add the ids of the holder, from the columns that the first argument names, as texts. */
static void
holder_add_ids(Values *holder, const TriggerData *trigger, HeapTuple row)
{
	TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
	List *columns;
	ListCell *cell;

	if (!SplitIdentifierString(pstrdup(trigger->tg_trigger->tgargs[0]), ',', &columns) ||
		list_length(columns) < 1 || list_length(columns) > HOLDER_IDS)
		gate_complain(
			"needs the columns of property, unit, lease and tenant, or the first of them");
	foreach(cell, columns)
	{
		int number = SPI_fnumber(descriptor, lfirst(cell));

		if (number <= 0)
			gate_complain(psprintf("names column \"%s\", which the table does not have",
								   (char *) lfirst(cell)));
		values_add_text(holder, SPI_getvalue(row, descriptor, number));
	}
	while (holder->count < HOLDER_IDS)
		values_add_text(holder, NULL);
}

/* What the other arguments say. */
static Gate
gate_read(const Trigger *trigger)
{
	Gate gate = {0};

	if (trigger->tgnargs < 1 || trigger->tgnargs > 3)
		gate_complain("takes one to three arguments");
	if (trigger->tgnargs > 1 && strcmp(trigger->tgargs[1], "refuse") == 0)
		gate.refuses = true;
	else if (trigger->tgnargs > 1 && strcmp(trigger->tgargs[1], "flag") != 0)
		gate_complain("takes 'flag' or 'refuse' as its second argument");
	if (trigger->tgnargs > 2 && strcmp(trigger->tgargs[2], "refuse_unknown") != 0)
		gate_complain("takes 'refuse_unknown' as its third argument");
	gate.refuses_unknown = trigger->tgnargs > 2;
	if (gate.refuses_unknown && !gate.refuses)
		gate_complain("takes 'refuse_unknown' with 'refuse' only");
	return gate;
}

/* Have events of the holder's policies wait until this transaction has ended. */
static void
holder_lock(Values *holder)
{
	Datum subjects;
	Record record;

	(void) statement_run_values_now(&find_subjects, holder);
	record = statement_record(0);
	subjects = record_datum(&record);
	if (!record.isnull)
		lock_share_subjects(DatumGetArrayTypeP(subjects));
}

/* Judge the holder by what others have committed, in the caller's memory. */
static Verdict
holder_judge(Values *holder, MemoryContext caller)
{
	Verdict verdict;
	Record record;
	MemoryContext old;

	(void) statement_run_values_now(&judge, holder);
	record = statement_record(0);
	old = MemoryContextSwitchTo(caller);
	verdict.verdict = record_text(&record);
	verdict.codes = record_text(&record);
	MemoryContextSwitchTo(old);
	return verdict;
}

/* summit_require_compliant() -> trigger: AFTER INSERT OR UPDATE FOR EACH ROW */
static Datum
canopy_summit_require_compliant_confidential(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext caller = CurrentMemoryContext;
	Values holder = {0};
	Verdict verdict;
	Engine engine;
	Gate gate;
	HeapTuple row;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		gate_complain("is for AFTER INSERT OR UPDATE row triggers");
	gate = gate_read(trigger->tg_trigger);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	holder_add_ids(&holder, trigger, row);
	engine_begin(&engine);
	holder_lock(&holder);
	verdict = holder_judge(&holder, caller);
	engine_end(&engine);
	if (verdict.verdict != NULL && gate.refuses &&
		(gate.refuses_unknown || strcmp(verdict.verdict, "fail") == 0))
		ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION), errmsg("the holder does not comply"),
						errdetail("Codes of summit.compliance_code: %s.", verdict.codes),
						errhint("summit.compliance shows each requirement; a waiver is a row of "
								"summit.waiver.")));
	if (verdict.verdict != NULL)
	{
		values_add_text(&holder, source_row_table(trigger));
		values_add_json(&holder, source_row_key(trigger, row));
		engine_begin(&engine);
		statement_run_values(&note, &holder);
		engine_end(&engine);
	}
	return PointerGetDatum(NULL);
}
