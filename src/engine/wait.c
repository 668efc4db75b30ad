/*
 * wait.c
 *	  Waiting for the end of something that others do, with fresh snapshots.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "engine/engine.h"
#include "engine/statement.h"
#include "engine/wait.h"

#define WAIT_FIRST   2           /* ms between looks, doubled up to WAIT_LONGEST */
#define WAIT_LONGEST 200         /* ms */
#define REPORT_FIRST 1000        /* ms between reports, doubled up to REPORT_LAST */
#define REPORT_LAST  (30 * 1000) /* ms */

/*
 * The state as of now, whatever the transaction's snapshot, in the current
 * memory context; reported if it is no end and the report is due.  Errors: P0002
 * there is no such thing, 55000 this very transaction has made it.
 */
static char *
state_now(Waited *waited, int64 id, bool is_report_due, bool *is_open)
{
	MemoryContext context = CurrentMemoryContext;
	Datum argument = Int64GetDatum(id);
	Engine engine;
	Record record;
	char *state;
	TransactionId made_by;

	engine_begin(&engine);
	if (statement_run_now(&waited->select, &argument, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("%s %lld does not exist", waited->noun, (long long) id)));
	record = statement_record(0);
	state = MemoryContextStrdup(context, record_text(&record));
	*is_open = record_boolean(&record);
	made_by = DatumGetTransactionId(record_datum(&record));
	if (*is_open && TransactionIdIsCurrentTransactionId(made_by))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s %lld was made by this transaction and is %s after its end",
							   waited->noun, (long long) id, waited->done),
						errhint("COMMIT before you wait for it.")));
	if (*is_open && is_report_due)
		waited->report(&record);
	engine_end(&engine);
	return state;
}

/* Wait for the end, at most so long; returns the state then. */
char *
wait_for_end(Waited *waited, int64 id, Datum timeout)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now), timeout));
	long report_pause = REPORT_FIRST;
	TimestampTz report_at = TimestampTzPlusMilliseconds(now, report_pause);
	long pause = WAIT_FIRST;

	for (;;)
	{
		bool is_report_due = waited->report != NULL && now >= report_at;
		bool is_open;
		char *state = state_now(waited, id, is_report_due, &is_open);

		if (is_report_due)
		{
			report_pause = Min(2 * report_pause, REPORT_LAST);
			report_at = TimestampTzPlusMilliseconds(now, report_pause);
		}
		now = GetCurrentTimestamp();
		if (!is_open || now >= until)
			return state;
		pfree(state);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = Min(2 * pause, WAIT_LONGEST);
	}
}
