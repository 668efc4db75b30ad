/*
 * monitoring_effect.c
 *	  What answers to jobs tell of monitorings, kept in the transaction that
 *	  settles them.
 *
 * A listing goes on page by page, a job each, as long as a page has something
 * that the listing did not have before: a server that repeats itself ends it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "canopy/listing.h"
#include "canopy/monitoring_effect.h"
#include "engine/identity.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/settlement.h"
#include "task/task.h"

enum
{
	MONITORINGS_TAKE,
	EVENTS_KEEP,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[MONITORINGS_TAKE] = {4, {INT8OID, TEXTOID, TIMESTAMPTZOID, JSONBOID},
		"SELECT canopy_summit.monitorings_take($1, $2, $3, $4)"},
	[EVENTS_KEEP] = {4, {TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID},
		"SELECT canopy_summit.follow('monitoring_event', 'monitoring_id', $1, ARRAY[canopy_summit.short_id($2)]),"
		" canopy_summit.keep_monitoring_events(ARRAY[$1], ARRAY[$2],"
		" ARRAY[CASE jsonb_typeof($3 -> 'latest_pull_id') WHEN 'string' THEN $3 ->> 'latest_pull_id' END],"
		" ARRAY[CASE jsonb_typeof($3 -> 'events') WHEN 'array' THEN $3 -> 'events' ELSE '[]' END], ARRAY[$4])"},
};
/* clang-format on */

/* Keep what one answer tells, and ask for the next page of a listing. */
static void
monitorings_take(const Settlement *settlement)
{
	const Job *job = settlement->job;
	JsonBuilder next = {0};
	Values values = {0};
	Record record;
	Datum last;

	values_add_int64(&values, job->job_id);
	values_add_text(&values, identity_hold_server(job->server_oid, job->server));
	values_add_time(&values, settlement->started_at);
	values_add_json(&values, settlement->answer->json);
	statement_run_values(&statements[MONITORINGS_TAKE], &values);
	record = statement_record(0);
	last = record_datum(&record);
	if (record.isnull)
		return;
	builder_add_text(&next, "before", TextDatumGetCString(last));
	listing_go_on(job, builder_finish_object(&next));
}

/* JobHandler.succeeded */
static void
monitorings_succeeded(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
		monitorings_take(lfirst(cell));
}

/* JobHandler.succeeded: of get-monitoring-events. */
static void
events_succeeded(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);
		const Job *job = settlement->job;
		Values values = {0};

		values_add_text(&values, identity_hold_server(job->server_oid, job->server));
		values_add_text(&values, json_text_field(job->params, "monitoringId"));
		values_add_json(&values, settlement->answer->json);
		values_add_time(&values, settlement->started_at);
		statement_run_values(&statements[EVENTS_KEEP], &values);
	}
}

/* From _PG_init(). */
void
monitoring_effect_register(void)
{
	static TaskKind kind = {.what = "monitorings"};
	static const JobHandler handlers[] = {
		{.operation = "post-monitoring", .succeeded = monitorings_succeeded},
		{.operation = "patch-monitoring", .succeeded = monitorings_succeeded},
		{.operation = "delete-monitoring", .succeeded = monitorings_succeeded},
		{.operation = "post-monitoring-refresh", .succeeded = monitorings_succeeded},
		{.operation = "get-monitorings", .succeeded = monitorings_succeeded, .takes_lookups = true},
		{.operation = "get-monitoring-events", .succeeded = events_succeeded},
	};

	task_kind_register(&kind);
	for (int i = 0; i < lengthof(handlers); i++)
		handler_register(&handlers[i]);
}
