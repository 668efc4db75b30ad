/*
 * upkeep.c
 *	  What a worker looks after at every scan besides claims: jobs in doubt that
 *	  can be looked up, and what retention rules let go.
 */
#include "worker.h"

#include "catalog/pg_type.h"
#include "confidential.h"
#include "miscadmin.h"
#include "shared.h"
#include "statement.h"
#include "utils/builtins.h"

#define RETENTION_CHUNK 20000 /* jobs, and webhooks, looked at in one scan */

CONFIDENTIAL_FUNCTION(canopy_summit_nested_json);

/* clang-format off */
/* Up to three look-ups of a doubt, at growing intervals: an effect may show late. */
static Statement reconcile = {3, {TEXTARRAYOID, TEXTARRAYOID, INT8OID},
	"INSERT INTO canopy_summit.job (job_id, server, operation, params, owner, priority, run_at,"
	" reconciles, instance, server_oid, owner_oid, max_attempts, state, fence, attempts, enqueued_at)"
	" SELECT nextval('canopy_summit.job_id_seq'), j.server, o.reader,"
	" canopy_summit.reconcile_params(j), j.owner, j.priority,"
	" now() + ('{2 s,1 min,10 min}'::interval[])[done.count + 1], j.job_id, j.instance,"
	" j.server_oid, j.owner_oid, 10,"
	" 'queued', 0, 0, now()"
	" FROM canopy_summit.job j"
	" JOIN unnest($1, $2) AS o(operation, reader) ON o.operation = j.operation,"
	" LATERAL (SELECT count(*), bool_or(r.state IN ('queued', 'running')) AS open"
	"  FROM canopy_summit.job r"
	"  WHERE r.reconciles = j.job_id AND r.enqueued_at >= j.first_sent_at) AS done"
	" WHERE j.state = 'in_doubt' AND j.instance = $3 AND done.count < 3 AND done.open IS NOT TRUE"};

static Statement find_rules = {0, {0}, "SELECT FROM canopy_summit.retention_rule LIMIT 1"};

/* The oldest jobs from a key on; what is finished for long enough goes, with all that belongs to it. */
static Statement retain = {2, {INT8OID, INT4OID},
	"WITH chunk AS MATERIALIZED ("
	" SELECT j.job_id, j.finished_at FROM canopy_summit.job j WHERE j.job_id > $1"
	" ORDER BY j.job_id LIMIT $2),"
	" old AS (SELECT c.job_id, w.what FROM chunk c JOIN canopy_summit.retention_rule w"
	"  ON w.what IN ('job', 'job_response') AND c.finished_at < now() - w.keep),"
	" response AS (DELETE FROM canopy_summit.job_response r USING old"
	"  WHERE r.job_id = old.job_id),"
	" attempt AS (DELETE FROM canopy_summit.job_attempt a USING old"
	"  WHERE a.job_id = old.job_id AND old.what = 'job'),"
	" gone AS (DELETE FROM canopy_summit.job j USING old"
	"  WHERE j.job_id = old.job_id AND old.what = 'job' RETURNING 1)"
	" SELECT max(job_id), count(*), (SELECT count(*) FROM gone) FROM chunk"};

/*
 * The oldest applied webhooks, but none that may still come again: then it would
 * be a new one.  Neither provider retries, and no tolerance reaches, that far back.
 */
static Statement retain_webhooks = {1, {INT4OID},
	"DELETE FROM canopy_summit.webhook w"
	" WHERE w.webhook_id IN (SELECT o.webhook_id"
	"  FROM canopy_summit.retention_rule r, LATERAL (SELECT i.webhook_id"
	"   FROM canopy_summit.webhook i"
	"   WHERE i.received_at < now() - greatest(r.keep, interval '26 hours')"
	"   AND i.state = 'applied' ORDER BY i.received_at LIMIT $1) AS o"
	"  WHERE r.what = 'webhook') AND w.state = 'applied'"};

static Statement conclude_found = {3, {INT8OID, JSONBOID, TEXTOID},
	"WITH found AS ("
	" UPDATE canopy_summit.job j SET state = 'succeeded', finished_at = now(),"
	" outcome = 'found by ' || $3, outcome_code = 'reconciled',"
	JOB_KEEPS("j", "'succeeded'")
	" WHERE j.job_id = $1 AND j.state = 'in_doubt'"
	" AND canopy_summit.reconcile_found(j, $2) IS NOT NULL"
	" RETURNING j.job_id, canopy_summit.reconcile_found(j, $2) AS thing)"
	" INSERT INTO canopy_summit.job_response (job_id, response, received_at)"
	" SELECT job_id, thing, now() FROM found ON CONFLICT (job_id) DO NOTHING"};
/* clang-format on */

/* Enqueue the look-ups of jobs in doubt.  Inside engine_begin(), as what follows. */
void
upkeep_reconcile(void)
{
	List *operations = NIL;
	List *readers = NIL;

	for (int i = 0; i < operation_count; i++)
	{
		const Operation *operation = &operation_table[i];

		if (operation->class != OPERATION_UNSAFE || operation->reconcile == NULL)
			continue;
		operations = lappend(operations, unconstify(char *, operation->name));
		readers = lappend(readers, unconstify(char *, operation->reconcile));
	}
	(void) statement_run(&reconcile,
						 (Datum[]){statement_texts(operations), statement_texts(readers),
								   Int64GetDatum(instance_current())},
						 NULL);
}

/* Let go what the rules say, a chunk at a time; true if the next chunk should not wait. */
bool
upkeep_retain(void)
{
	static int64 cursor = 0;
	Datum arguments[2] = {Int64GetDatum(cursor), Int32GetDatum(RETENTION_CHUNK)};
	bool more;
	bool isnull;
	int64 last;
	int64 gone;

	if (statement_run(&find_rules, NULL, NULL) == 0)
		return false;
	(void) statement_run(&retain, arguments, NULL);
	last = DatumGetInt64(statement_column(1, &isnull));
	gone = DatumGetInt64(statement_column(3, &isnull));
	cursor = DatumGetInt64(statement_column(2, &isnull)) < RETENTION_CHUNK ? 0 : last;
	more = statement_run(&retain_webhooks, &arguments[1], NULL) == RETENTION_CHUNK;
	return more || (gone > 0 && cursor != 0);
}

/* A look-up has answered: the job in doubt succeeded if the answer has its effect. */
void
upkeep_reconciled(const Flight *flight)
{
	Datum arguments[3] = {Int64GetDatum(flight->job->reconciles),
						  JsonbPGetDatum(flight->answer->json),
						  CStringGetTextDatum(flight->job->operation->name)};

	(void) statement_run(&conclude_found, arguments, NULL);
}

/* canopy_summit.nested_json(text) -> jsonb */
static Datum
canopy_summit_nested_json_confidential(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	Jsonb *json = json_read_nested(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));

	if (json == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(json);
}
