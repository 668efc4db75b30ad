/*
 * wait.c
 *	  Waiting for the end of a job or an upload, with fresh snapshots.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "engine/engine.h"
#include "engine/statement.h"

#define WAIT_FIRST   2   /* ms between looks, doubled up to WAIT_LONGEST */
#define WAIT_LONGEST 200 /* ms */

PG_FUNCTION_INFO_V1(canopy_summit_wait_for_job);
PG_FUNCTION_INFO_V1(canopy_summit_wait_for_upload);

/* Something that one can wait for the end of. */
typedef struct Waited
{
	const char *noun;
	Statement select; /* of its id: state, whether that is not an end, xmin */
} Waited;

static Waited waited_job = {
	"job",
	{1,
	 {INT8OID},
	 "SELECT state::text, state IN ('queued', 'running'), xmin"
	 " FROM canopy_summit.job WHERE job_id = $1"},
};
static Waited waited_upload = {
	"upload",
	{1,
	 {INT8OID},
	 "SELECT s.status, s.status IN ('queued', 'sending', 'accepted'), u.xmin"
	 " FROM summit.upload_status s JOIN summit.upload u USING (upload_id) WHERE u.upload_id = $1"},
};

/*
 * The state as of now, whatever the transaction's snapshot, in the current
 * memory context.  Errors: P0002 there is no such thing, 55000 this very
 * transaction has made it.
 */
static char *
state_now(Waited *waited, int64 id, bool *is_open)
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
						errmsg("%s %lld was made by this transaction and is sent after its end",
							   waited->noun, (long long) id),
						errhint("COMMIT before you wait for it.")));
	engine_end(&engine);
	return state;
}

/* Wait for the end, at most so long; returns the state then. */
static char *
wait_for_end(Waited *waited, int64 id, Datum timeout)
{
	TimestampTz until = DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
							timeout));
	long pause = WAIT_FIRST;

	for (;;)
	{
		bool is_open;
		char *state = state_now(waited, id, &is_open);

		if (!is_open || GetCurrentTimestamp() >= until)
			return state;
		pfree(state);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = Min(2 * pause, WAIT_LONGEST);
	}
}

/* canopy_summit.wait_for_job(job_id bigint, timeout interval) -> text */
Datum
canopy_summit_wait_for_job(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(
		cstring_to_text(wait_for_end(&waited_job, PG_GETARG_INT64(0), PG_GETARG_DATUM(1))));
}

/* summit_wait_for_upload(upload_id bigint, timeout interval) -> text */
Datum
canopy_summit_wait_for_upload(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(
		cstring_to_text(wait_for_end(&waited_upload, PG_GETARG_INT64(0), PG_GETARG_DATUM(1))));
}
