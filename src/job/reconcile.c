/*
 * reconcile.c
 *	  Jobs in doubt that can be looked up.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/operation.h"
#include "engine/instance.h"
#include "engine/statement.h"
#include "job/job.h"
#include "job/reconcile.h"
#include "process/chore.h"
#include "process/wake.h"

/* clang-format off */
/* Up to three look-ups of a doubt, at growing intervals: an effect may show late. */
static Statement reconcile = {3, {TEXTARRAYOID, TEXTARRAYOID, INT8OID},
	JOB_WRITE_AFTER("operation, params, priority, run_at, reconciles",
		"o.reader, canopy_summit.reconcile_params(j), j.priority,"
		" now() + ('{2 s,1 min,10 min}'::interval[])[done.count + 1], j.job_id")
	" FROM canopy_summit.job j"
	" JOIN unnest($1, $2) AS o(operation, reader) ON o.operation = j.operation,"
	" LATERAL (SELECT count(*), bool_or(r.state IN ('queued', 'running')) AS open"
	"  FROM canopy_summit.job r"
	"  WHERE r.reconciles = j.job_id AND r.enqueued_at >= j.first_sent_at) AS done"
	" WHERE j.state = 'in_doubt' AND j.instance = $3 AND done.count < 3 AND done.open IS NOT TRUE"};

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

/* Enqueue the look-ups of jobs in doubt. */
static TimestampTz
reconcile_run(TimestampTz now)
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
	if (statement_run(&reconcile,
					  (Datum[]){statement_texts(operations), statement_texts(readers),
								Int64GetDatum(instance_current())},
					  NULL) > 0)
		wake_at_commit(now);
	return DT_NOEND;
}

/* A look-up has answered: the job in doubt succeeded if the answer has its effect.  Inside engine_begin(). */
void
reconcile_conclude(const Job *job, Jsonb *answer)
{
	Datum arguments[3] = {Int64GetDatum(job->reconciles), JsonbPGetDatum(answer),
						  CStringGetTextDatum(job->operation->name)};

	(void) statement_run(&conclude_found, arguments, NULL);
}

/* From _PG_init(). */
void
reconcile_register(void)
{
	static Chore chore = {.name = "looking for jobs in doubt",
						  .run = reconcile_run,
						  .at_scan = true};

	chore_register(&chore);
}
