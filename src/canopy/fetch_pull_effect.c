/*
 * fetch_pull_effect.c
 *	  A pull fetched by job, or checked: what the job asks for, and how its answer is
 *	  stored.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "base/jsonb_get.h"
#include "canopy/document.h"
#include "canopy/fetch_pull_effect.h"
#include "engine/new_row.h"
#include "engine/statement.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/settlement.h"
#include "pull/entity_batch.h"
#include "pull/pull.h"
#include "server/connection.h"

/* A fetch that does not say gets property data where the server's option with_property_data says so. */
static void
fetch_fill(NewRow *row, const Connection *connection)
{
	Datum addition;

	if (!connection->with_property_data)
		return;
	addition = DirectFunctionCall1(jsonb_in, CStringGetDatum("{\"withPropertyData\": true}"));
	new_row_put(row, "params",
				DirectFunctionCall2(jsonb_concat, addition,
									JsonbPGetDatum(new_row_json(row, "params"))));
}

/* Store a fetched pull; its rows go to the batch. */
static void
fetch_store(const Settlement *settlement, EntityBatch *batch)
{
	const Job *job = settlement->job;
	const Answer *answer = settlement->answer;
	PullSource source = {.server_oid = job->server_oid,
						 .server = job->server,
						 .environment = settlement->environment,
						 .stored_by = job->owner,
						 .expected_pull_id = json_text_field(job->params, "pullId"),
						 .fetched_at = answer->started_at,
						 .replaced = answer->replaced,
						 .received = answer->received,
						 .received_len = answer->received_len,
						 .batch = batch};

	(void) pull_store(answer->json, &source);
}

/* Store fetched pulls, and have their documents fetched. */
static void
fetch_succeeded(List *settlements)
{
	EntityBatch *batch = entity_batch_begin();
	ListCell *cell;

	foreach(cell, settlements)
		fetch_store(lfirst(cell), batch);
	entity_batch_end(batch);
	documents_want(settlements);
}

/* Fetch the pull of a check whose answer does not have it. */
static void
check_fetch(const Job *job)
{
	static Statement fetch_params = {2,
									 {OIDOID, TEXTOID},
									 "SELECT canopy_summit.fetch_params($1, $2)"};
	Datum arguments[2] = {ObjectIdGetDatum(job->server_oid),
						  CStringGetTextDatum(json_text_field(job->params, "pullId"))};
	JobSpec fetch = {.server_oid = job->server_oid,
					 .owner_oid = job->owner_oid,
					 .server = job->server,
					 .operation = "get-pull-by-id",
					 .owner = job->owner,
					 .priority = job->priority,
					 .run_at = GetCurrentTimestamp()};

	(void) statement_run(&fetch_params, arguments, NULL);
	fetch.params = DatumGetJsonbPCopy(statement_value());
	(void) job_insert(&fetch);
}

/* Store checked pulls: not every answer has to have one (operation post-pull-policy-check). */
static void
check_succeeded(List *settlements)
{
	List *answered = NIL;
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);

		if (json_text_field(settlement->answer->json, "pull_id") != NULL)
			answered = lappend(answered, lfirst(cell));
		else
			check_fetch(settlement->job);
	}
	fetch_succeeded(answered);
}

/* From _PG_init(). */
void
fetch_effect_register(void)
{
	static const JobHandler fetch = {.operation = "get-pull-by-id",
									 .fill = fetch_fill,
									 .succeeded = fetch_succeeded,
									 .stores_answer = true};
	static const JobHandler check = {.operation = "post-pull-policy-check",
									 .succeeded = check_succeeded,
									 .stores_answer = true};

	handler_register(&fetch);
	handler_register(&check);
}
