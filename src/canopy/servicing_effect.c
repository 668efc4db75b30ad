/*
 * servicing_effect.c
 *	  What answers to jobs tell of servicing actions, kept in the transaction that
 *	  settles them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "canopy/listing.h"
#include "canopy/pull_token.h"
#include "canopy/servicing_effect.h"
#include "canopy/servicing_schema.h"
#include "engine/identity.h"
#include "engine/new_row.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/settlement.h"
#include "task/task.h"

enum
{
	SERVICING_CREATED,
	SERVICINGS_TAKE,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[SERVICING_CREATED] = {4, {INT8OID, TEXTOID, TIMESTAMPTZOID, JSONBOID},
		"SELECT canopy_summit.servicing_created($1, $2, $3, $4)"},
	[SERVICINGS_TAKE] = {4, {INT8OID, TEXTOID, TIMESTAMPTZOID, JSONBOID},
		"SELECT canopy_summit.servicings_take($1, $2, $3, $4)"},
};
/* clang-format on */

/* Run a statement about what one answer tells. */
static void
tell(Statement *statement, const Settlement *settlement)
{
	const Job *job = settlement->job;
	Values values = {0};

	values_add_int64(&values, job->job_id);
	values_add_text(&values, identity_hold_server(job->server_oid, job->server));
	values_add_time(&values, settlement->started_at);
	values_add_json(&values, settlement->answer->json);
	statement_run_values(statement, &values);
}

/* JobHandler.fill: refuse what carriers do not know, however it is enqueued. */
static void
servicing_fill(NewRow *row, const Connection *connection)
{
	Jsonb *body = new_row_is_null(row, "body") ? NULL : new_row_json(row, "body");
	JsonbValue *actions =
		body && JB_ROOT_IS_OBJECT(body) ? member_value(&body->root, "servicing_actions") : NULL;

	/* One that is not there is refused with the other fields. */
	if (actions != NULL)
		servicing_check_actions(JsonbValueToJsonb(actions));
}

/* JobHandler.succeeded: of post-servicings, and of what may ask for servicing besides. */
void
servicings_created(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
		tell(&statements[SERVICING_CREATED], lfirst(cell));
	pull_tokens_keep(settlements);
}

/* JobHandler.succeeded: of get-servicings and get-servicing; of a listing, ask for the next page. */
static void
servicings_told(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);
		JsonBuilder next = {0};
		Record record;
		int64 offset;

		tell(&statements[SERVICINGS_TAKE], settlement);
		record = statement_record(0);
		offset = record_int64(&record);
		if (record.isnull)
			continue;
		builder_add_integer(&next, "offset", offset);
		listing_go_on(settlement->job, builder_finish_object(&next));
	}
}

/* From _PG_init(). */
void
servicing_effect_register(void)
{
	static TaskKind kind = {.what = "servicings"};
	static const JobHandler handlers[] = {
		{.operation = "post-servicings", .fill = servicing_fill, .succeeded = servicings_created},
		{.operation = "get-servicings",
		 .succeeded = servicings_told,
		 .stores_answer_of_task = true,
		 .takes_lookups = true},
		{.operation = "get-servicing", .succeeded = servicings_told},
	};

	task_kind_register(&kind);
	for (int i = 0; i < lengthof(handlers); i++)
		handler_register(&handlers[i]);
}
