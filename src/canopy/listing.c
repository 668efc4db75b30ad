/*
 * listing.c
 *	  Lists of things that the API has, page by page: a task, whose pages are a job
 *	  each, and whose place is kept with it.
 *
 * The settle of a page keeps what it tells and enqueues the next one, in one
 * transaction; what a page tells is up to whoever lists.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/jsonb_build.h"
#include "canopy/listing.h"
#include "engine/engine.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "job/enqueue_as_caller.h"
#include "job/job.h"
#include "process/wake.h"
#include "server/connection.h"
#include "server/provider.h"
#include "task/task.h"

#define LISTING_PRIORITY 8 /* after whatever somebody waits for */

enum
{
	LISTING_PLACE,
	LISTING_NEXT,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[LISTING_PLACE] = {3, {INT8OID, INT8OID, JSONBOID},
		"SELECT canopy_summit.sync_place($1, $2, $3)"},
	[LISTING_NEXT] = {2, {INT8OID, JSONBOID},
		"WITH page AS (" JOB_WRITE_AFTER("operation, params, priority, run_at, task_id",
			"j.operation, j.params || $2, j.priority, now(), j.task_id")
		" FROM canopy_summit.job j WHERE j.job_id = $1 RETURNING job_id, task_id, params)"
		" SELECT canopy_summit.sync_place(p.task_id, p.job_id, p.params) FROM page p"},
};
/* clang-format on */

/*
 * List at a server, NULL = that of the setting, as the caller, by an operation whose first page
 * has these parameters; `what` is the kind of the task.  Returns the job of that page.
 */
int64
listing_start(const char *server, const char *what, const char *operation, Jsonb *page)
{
	Connection *connection = connection_open(server, PROVIDER_CANOPY);
	Oid role = GetUserId();
	JsonBuilder args = {0};
	Values values = {0};
	int64 job_id;
	int64 task_id;
	Engine engine;

	values_add_text(&values, connection->server);
	values_add_text(&values, operation);
	values_add_json(&values, page);
	values_add_json(&values, NULL);
	values_add_int32(&values, LISTING_PRIORITY);
	job_id = enqueue_as_caller(&values);
	builder_add_integer(&args, "job_id", job_id);
	engine_begin(&engine);
	task_id = task_start(what, connection->server, connection->server_oid,
						 builder_finish_object(&args), role);
	statement_run(&statements[LISTING_PLACE],
				  (Datum[]){Int64GetDatum(task_id), Int64GetDatum(job_id), JsonbPGetDatum(page)},
				  NULL);
	engine_end(&engine);
	return job_id;
}

/* Ask for the page after that of a job, in the transaction that settles it: other parameters are as in `change`. */
void
listing_go_on(const Job *job, Jsonb *change)
{
	statement_run(&statements[LISTING_NEXT],
				  (Datum[]){Int64GetDatum(job->job_id), JsonbPGetDatum(change)}, NULL);
	wake_at_commit(GetCurrentTimestamp());
}
