/*
 * wait.c
 *	  Waiting for the end of a task.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "engine/wait.h"

PG_FUNCTION_INFO_V1(canopy_summit_wait_for_task);

static void task_report(Record *record);

static Waited waited_task = {
	"task",
	"done",
	{1,
	 {INT8OID},
	 "SELECT t.state::text, t.state IN ('waiting', 'running'), t.xmin, format('%s %s: %s%s%s%s',"
	 "  p.what, p.task_id, p.state, coalesce(', ' || p.done || ' of ' || p.total,"
	 "  ', ' || nullif(p.done, 0)), ', done at ' || date_trunc('second', p.eta), '; ' || p.problem)"
	 " FROM canopy_summit.task t JOIN canopy_summit.progress p ON p.task_id = t.task_id"
	 " WHERE t.task_id = $1"},
	task_report,
};

/* Tell the client how far the task is. */
static void
task_report(Record *record)
{
	ereport(NOTICE, (errmsg_internal("%s", record_text(record))));
}

/* canopy_summit.wait_for_task(task_id bigint, timeout interval) -> text */
Datum
canopy_summit_wait_for_task(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(
		cstring_to_text(wait_for_end(&waited_task, PG_GETARG_INT64(0), PG_GETARG_DATUM(1))));
}
