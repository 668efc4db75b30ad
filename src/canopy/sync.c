/*
 * sync.c
 *	  canopy_sync_pulls(): a task that lists the pulls of a server, a job a page, and
 *	  has those fetched that are not here.
 *
 * Where it is, is in the task; the settle of a page takes it, enqueues what it is
 * for and the next page in one transaction, so that a kill costs nothing and repeats
 * nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "base/jsonb_build.h"
#include "canopy/sync.h"
#include "engine/argument.h"
#include "engine/engine.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "http/transfer.h"
#include "job/enqueue_as_caller.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/settlement.h"
#include "process/wake.h"
#include "server/connection.h"
#include "server/provider.h"
#include "task/task.h"

#define SYNC_PRIORITY  7 /* of its pages: before what they find, so that nobody waits for a page */
#define FETCH_PRIORITY 8 /* of what they find: after whatever somebody waits for */
#define SYNC_PAGE      100 /* pulls, as many as get-pulls gives; a page that is too large is halved */

PG_FUNCTION_INFO_V1(canopy_summit_sync_pulls);

enum
{
	SYNC_FIND,
	SYNC_ASK,
	SYNC_PLACE,
	SYNC_TAKE,
	SYNC_HALVE,
	SYNC_FETCH,
	SYNC_NEXT,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[SYNC_FIND] = {3, {OIDOID, OIDOID, JSONBOID},
		"SELECT f.task_id, f.found, f.enqueued, f.job_id, f.page FROM canopy_summit.sync_find($1, $2, $3) AS f"
		" WHERE f.task_id IS NOT NULL"},
	[SYNC_ASK] = {2, {INT8OID, JSONBOID},
		"SELECT canopy_summit.sync_ask($1, $2)"},
	[SYNC_PLACE] = {3, {INT8OID, INT8OID, JSONBOID},
		"SELECT canopy_summit.sync_place($1, $2, $3)"},
	[SYNC_TAKE] = {3, {INT8OID, INT8OID, JSONBOID},
		"SELECT t.next, t.wanted FROM canopy_summit.sync_take($1, $2, $3) AS t"},
	[SYNC_HALVE] = {2, {INT8OID, INT8OID},
		"SELECT canopy_summit.sync_halve($1, $2)"},
	[SYNC_FETCH] = {2, {INT8OID, TEXTARRAYOID},
		JOB_WRITE_AFTER("operation, params, dedupe_key, priority, run_at",
			"'get-pull-by-id', canopy_summit.fetch_params(j.server_oid, w.pull_id), 'fetch ' || w.pull_id, "
			CppAsString2(FETCH_PRIORITY) ", now()")
		" FROM canopy_summit.job j, unnest($2) AS w(pull_id) WHERE j.job_id = $1"},
	[SYNC_NEXT] = {2, {INT8OID, JSONBOID},
		JOB_WRITE_AFTER("operation, params, priority, run_at, task_id", "'get-pulls', $2, "
			CppAsString2(SYNC_PRIORITY) ", now(), j.task_id")
		" FROM canopy_summit.job j WHERE j.job_id = $1 RETURNING job_id"},
};
/* clang-format on */

/* A sync as its caller sees it. */
typedef struct Sync
{
	int64 task_id; /* 0 = there is none yet */
	int64 found;
	int64 enqueued;
	int64 job_id; /* that lists its next page; 0 = none does */
	Jsonb *page;  /* parameters of that page */
} Sync;

/* Note that somebody wants what a sync finds, and what has come since it began; false if it is over by now. */
static bool
sync_ask(int64 task_id)
{
	JsonBuilder asked = {0};
	Datum arguments[2] = {Int64GetDatum(task_id)};

	builder_add_moment(&asked, "asked", GetCurrentTimestamp());
	arguments[1] = JsonbPGetDatum(builder_finish_object(&asked));
	statement_run(&statements[SYNC_ASK], arguments, NULL);
	return DatumGetBool(statement_value());
}

/* The role's sync that covers what is asked for; else one that begins now. */
static Sync
sync_find(Oid server, Oid role, Jsonb *args, Jsonb *first_page)
{
	Datum arguments[3] = {ObjectIdGetDatum(server), ObjectIdGetDatum(role), JsonbPGetDatum(args)};
	Sync sync = {.page = first_page};
	MemoryContext caller = CurrentMemoryContext;
	Engine engine;

	engine_begin(&engine);
	while (statement_run(&statements[SYNC_FIND], arguments, NULL) > 0)
	{
		Record record = statement_record(0);
		MemoryContext old = MemoryContextSwitchTo(caller);

		sync.task_id = record_int64(&record);
		sync.found = record_int64(&record);
		sync.enqueued = record_int64(&record);
		sync.job_id = record_int64(&record);
		sync.page = record_json(&record);
		MemoryContextSwitchTo(old);
		if (sync_ask(sync.task_id))
			break;
		sync = (Sync){.page = first_page};
	}
	engine_end(&engine);
	return sync;
}

/* Enqueue the page of a sync as the caller, whose right to enqueue decides. */
static int64
sync_enqueue(const char *server, Jsonb *page)
{
	Values values = {0};

	values_add_text(&values, server);
	values_add_text(&values, "get-pulls");
	values_add_json(&values, page);
	values_add_json(&values, NULL);
	values_add_int32(&values, SYNC_PRIORITY);
	return enqueue_as_caller(&values);
}

/* Note which job lists the page of a sync.  Inside engine_begin(). */
static void
sync_place(int64 task_id, int64 job_id, Jsonb *page)
{
	Datum arguments[3] = {Int64GetDatum(task_id), Int64GetDatum(job_id), JsonbPGetDatum(page)};

	statement_run(&statements[SYNC_PLACE], arguments, NULL);
}

/* What a sync is started with, which tells it from others: how far back it goes. */
static Jsonb *
sync_args(FunctionCallInfo fcinfo, const Connection *connection)
{
	JsonBuilder builder = {0};

	builder_add_integer(&builder, "server", connection->server_oid);
	if (!PG_ARGISNULL(0))
		builder_add_moment(&builder, "since", PG_GETARG_TIMESTAMPTZ(0));
	return builder_finish_object(&builder);
}

/* The parameters of the first page: nothing that comes from now on moves the others. */
static Jsonb *
sync_first_page(FunctionCallInfo fcinfo)
{
	JsonBuilder builder = {0};

	if (!PG_ARGISNULL(0))
		builder_add_moment(&builder, "since", PG_GETARG_TIMESTAMPTZ(0));
	builder_add_moment(&builder, "before", GetCurrentTimestamp());
	builder_add_integer(&builder, "limit", SYNC_PAGE);
	builder_add_integer(&builder, "offset", 0);
	return builder_finish_object(&builder);
}

/* canopy_sync_pulls(since timestamptz, server name) -> (found bigint, enqueued bigint, job_id bigint) */
Datum
canopy_summit_sync_pulls(PG_FUNCTION_ARGS)
{
	Connection *connection = connection_open(argument_name(fcinfo, 1), PROVIDER_CANOPY);
	Jsonb *args = sync_args(fcinfo, connection);
	Oid role = GetUserId();
	Sync sync = sync_find(connection->server_oid, role, args, sync_first_page(fcinfo));
	Values values = {0};
	Engine engine;

	if (sync.job_id == 0)
	{
		sync.job_id = sync_enqueue(connection->server, sync.page);
		engine_begin(&engine);
		if (sync.task_id == 0)
			sync.task_id =
				task_start("sync", connection->server, connection->server_oid, args, role);
		sync_place(sync.task_id, sync.job_id, sync.page);
		engine_end(&engine);
	}
	values_add_int64(&values, sync.found);
	values_add_int64(&values, sync.enqueued);
	values_add_int64(&values, sync.job_id);
	return values_row(&values, fcinfo);
}

/* Enqueue the next page of a sync after the job that listed one. */
static void
sync_go_on(const Job *job, Datum page)
{
	Datum arguments[2] = {Int64GetDatum(job->job_id), page};

	if (statement_run(&statements[SYNC_NEXT], arguments, NULL) == 1)
		sync_place(job->task_id, DatumGetInt64(statement_value()), DatumGetJsonbP(page));
	wake_at_commit(GetCurrentTimestamp());
}

/* Take a page that a job of a sync has listed. */
static void
sync_take(const Job *job, Jsonb *pulls)
{
	Datum arguments[3] = {Int64GetDatum(job->task_id), Int64GetDatum(job->job_id),
						  JsonbPGetDatum(pulls)};
	Record record;
	Datum next;
	Datum wanted;
	bool is_over;

	statement_run(&statements[SYNC_TAKE], arguments, NULL);
	record = statement_record(0);
	next = record_datum(&record);
	is_over = record.isnull;
	wanted = record_datum(&record);
	if (!record.isnull)
		statement_run(&statements[SYNC_FETCH], (Datum[]){Int64GetDatum(job->job_id), wanted}, NULL);
	if (is_over)
		wake_at_commit(GetCurrentTimestamp());
	else
		sync_go_on(job, next);
}

/* JobHandler.succeeded: of get-pulls. */
static void
listings_succeeded(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);

		if (settlement->job->task_id != 0)
			sync_take(settlement->job, settlement->answer->json);
	}
}

/* JobHandler.failed: the sync has stopped (sync_follow_job()); if the page was only too large, it goes on with a shorter one. */
static void
listings_failed(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);
		const Job *job = settlement->job;
		Datum arguments[2] = {Int64GetDatum(job->task_id), Int64GetDatum(job->job_id)};
		Record record;
		Datum page;

		if (job->task_id == 0 || settlement->response == NULL ||
			settlement->response->outcome != HTTP_TOO_LARGE ||
			statement_run(&statements[SYNC_HALVE], arguments, NULL) == 0)
			continue;
		record = statement_record(0);
		page = record_datum(&record);
		if (!record.isnull)
			sync_go_on(job, page);
	}
}

/* From _PG_init(). */
void
sync_register(void)
{
	static TaskKind kind = {.what = "sync"};
	static const JobHandler handler = {.operation = "get-pulls",
									   .succeeded = listings_succeeded,
									   .failed = listings_failed,
									   .stores_answer_of_task = true};

	task_kind_register(&kind);
	handler_register(&handler);
}
