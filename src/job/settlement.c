/*
 * settlement.c
 *	  Writing down how attempts ended, a batch at a time; each counts only while its
 *	  fence is the job's.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "engine/statement.h"
#include "http/transfer.h"
#include "job/job.h"
#include "job/settlement.h"

enum
{
	JOB_SETTLE,
	ATTEMPT_INSERT,
	RESPONSE_INSERT,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	/* "settled" has the settlements as rows, see settled_descriptor(). */
	[JOB_SETTLE] = {0, {0},
		"UPDATE canopy_summit.job j"
		" SET state = s.state::canopy_summit.job_state, run_at = coalesce(s.run_at, j.run_at),"
		" attempts = s.attempts, epoch = NULL, lease_until = NULL, outcome = s.outcome,"
		" outcome_code = s.code, outcome_status = s.status,"
		" first_sent_at = CASE WHEN NOT s.never_sent THEN j.first_sent_at END,"
		" finished_at = CASE WHEN s.state IN ('succeeded', 'failed', 'cancelled') THEN now() END,"
		JOB_KEEPS("j", "s.state")
		" FROM settled s WHERE j.job_id = s.job_id AND j.fence = s.fence"
		" AND j.state::text = 'running'" /* as text, or the planner would take another index */
		" RETURNING j.job_id"},
	[ATTEMPT_INSERT] = {2, {INT8OID, INT8ARRAYOID},
		"INSERT INTO canopy_summit.job_attempt (job_id, fence, epoch, started_at, settled, outcome,"
		" code, status, lookup_us, connect_us, tls_us, first_byte_us, total_us, sent_bytes,"
		" received_bytes, sends)"
		" SELECT job_id, fence, $1, started_at, $2 IS NULL OR job_id = ANY ($2), outcome, code,"
		" status, lookup_us, connect_us, tls_us, first_byte_us, total_us, sent_bytes,"
		" received_bytes, sends FROM settled WHERE was_sent"
		" ON CONFLICT (job_id, fence) DO UPDATE SET settled = EXCLUDED.settled,"
		" outcome = EXCLUDED.outcome, code = EXCLUDED.code, status = EXCLUDED.status,"
		" total_us = EXCLUDED.total_us, sent_bytes = EXCLUDED.sent_bytes,"
		" received_bytes = EXCLUDED.received_bytes, sends = EXCLUDED.sends"},
	[RESPONSE_INSERT] = {1, {INT8ARRAYOID},
		"INSERT INTO canopy_summit.job_response (job_id, response, received_at)"
		" SELECT job_id, answer, now() FROM settled"
		" WHERE answer IS NOT NULL AND ($1 IS NULL OR job_id = ANY ($1))"
		" ON CONFLICT (job_id) DO UPDATE"
		" SET response = EXCLUDED.response, received_at = EXCLUDED.received_at"},
};
/* clang-format on */

static const char *const state_names[] = {
	[JOB_QUEUED] = "queued", [JOB_RUNNING] = "running",   [JOB_SUCCEEDED] = "succeeded",
	[JOB_FAILED] = "failed", [JOB_IN_DOUBT] = "in_doubt", [JOB_CANCELLED] = "cancelled",
};

/* Settlements as rows, for statements that see them as a table. */
static TupleDesc
settled_descriptor(void)
{
	static TupleDesc descriptor = NULL;
	static const struct
	{
		const char *name;
		Oid type;
	} columns[] = {
		{"job_id", INT8OID},        {"fence", INT4OID},      {"state", TEXTOID},
		{"run_at", TIMESTAMPTZOID}, {"attempts", INT4OID},   {"outcome", TEXTOID},
		{"code", TEXTOID},          {"status", INT4OID},     {"started_at", TIMESTAMPTZOID},
		{"was_sent", BOOLOID},      {"never_sent", BOOLOID}, {"lookup_us", INT8OID},
		{"connect_us", INT8OID},    {"tls_us", INT8OID},     {"first_byte_us", INT8OID},
		{"total_us", INT8OID},      {"sent_bytes", INT8OID}, {"received_bytes", INT8OID},
		{"sends", INT4OID},         {"answer", JSONBOID},
	};

	if (descriptor == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		descriptor = CreateTemplateTupleDesc(lengthof(columns));
		for (int i = 0; i < lengthof(columns); i++)
			TupleDescInitEntry(descriptor, i + 1, columns[i].name, columns[i].type, -1, 0);
		TupleDescFinalize(descriptor);
		MemoryContextSwitchTo(old);
	}
	return descriptor;
}

static void
settled_put(Tuplestorestate *rows, const Settlement *settlement)
{
	static const HttpResponse not_sent = {0};
	const HttpResponse *response = settlement->response ? settlement->response : &not_sent;
	const int64 measured[] = {response->times.lookup,  response->times.connect,
							  response->times.tls,     response->times.first_byte,
							  response->times.total,   response->sent_bytes,
							  response->received_bytes};
	Values values = {0};

	values_add_int64(&values, settlement->job->job_id);
	values_add_int32(&values, settlement->job->fence);
	values_add_text(&values, state_names[settlement->state]);
	values_add_unless(&values, settlement->state != JOB_QUEUED,
					  TimestampTzGetDatum(settlement->run_at));
	values_add_int32(&values, settlement->attempts);
	values_add_text(&values, settlement->outcome);
	values_add_text(&values, settlement->code);
	values_add_unless(&values, settlement->status == 0, Int32GetDatum(settlement->status));
	values_add_time(&values, settlement->started_at);
	values_add_boolean(&values, settlement->response != NULL);
	values_add_boolean(&values, !response->was_sent &&
									settlement->job->first_sent_at == settlement->job->claimed_at);
	for (int i = 0; i < lengthof(measured); i++)
		values_add_unless(&values, measured[i] == 0, Int64GetDatum(measured[i]));
	values_add_unless(&values, response->sends == 0, Int32GetDatum(response->sends));
	values_add_json(&values, settlement->kept);
	tuplestore_putvalues(rows, settled_descriptor(), values.values, values.nulls);
}

static int
settlement_compare(const ListCell *left, const ListCell *right)
{
	int64 a = ((Settlement *) lfirst(left))->job->job_id;
	int64 b = ((Settlement *) lfirst(right))->job->job_id;

	return a < b ? -1 : a > b;
}

/* Mark the settlements whose claims stood, by the keys that the last statement returned. */
static Datum
settlements_accept(List *settlements, bool *all)
{
	uint64 count = SPI_processed;
	Datum *ids = palloc(sizeof(Datum) * Max(count, 1));
	ListCell *cell;

	for (uint64 i = 0; i < count; i++)
	{
		Record record = statement_record(i);

		ids[i] = record_datum(&record);
		foreach(cell, settlements)
			if (((Settlement *) lfirst(cell))->job->job_id == DatumGetInt64(ids[i]))
			{
				((Settlement *) lfirst(cell))->accepted = true;
				break;
			}
	}
	SPI_freetuptable(SPI_tuptable);
	*all = count == list_length(settlements);
	return statement_array(ids, NULL, count, INT8OID);
}

/*
 * Settle what a worker of this epoch has claimed: a List of Settlement *, each
 * of another job.  A settlement counts, and is marked accepted, only if its
 * claim still stands; the attempt is written down in any case.  In order of
 * keys, so that two that settle cannot deadlock.
 */
void
job_settle(List *settlements, int64 epoch)
{
	EphemeralNamedRelationData relation = {0};
	Tuplestorestate *rows = tuplestore_begin_heap(true, false, work_mem);
	Datum accepted;
	bool all;
	ListCell *cell;

	list_sort(settlements, settlement_compare);
	foreach(cell, settlements)
		settled_put(rows, lfirst(cell));
	relation.md.name = "settled";
	relation.md.tupdesc = settled_descriptor();
	relation.md.enrtype = ENR_NAMED_TUPLESTORE;
	relation.md.enrtuples = list_length(settlements);
	relation.reldata = rows;
	if (SPI_register_relation(&relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the settlements");
	statement_run(&statements[JOB_SETTLE], NULL, NULL);
	accepted = settlements_accept(settlements, &all);
	statement_run(&statements[ATTEMPT_INSERT], (Datum[]){Int64GetDatum(epoch), accepted},
				  all ? " n" : "  ");
	statement_run(&statements[RESPONSE_INSERT], &accepted, all ? "n" : " ");
	SPI_unregister_relation(relation.md.name);
	tuplestore_end(rows);
}
