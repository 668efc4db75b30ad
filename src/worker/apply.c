/*
 * apply.c
 *	  Applying what the inbox has stored, a batch a transaction.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "engine/statement.h"
#include "engine/transaction.h"
#include "worker/apply.h"
#include "worker/worker.h"

#define WEBHOOK_BATCH 200  /* webhooks that are applied together */
#define WEBHOOK_PAUSE 50   /* ms between batches that are not full */
#define WEBHOOK_AGAIN 1000 /* ms until webhooks that somebody had locked are looked at again */

static Statement webhooks_wait = {
	.sql = "SELECT FROM canopy_summit.webhook WHERE state = 'stored' LIMIT 1"};

/* Whether some wait to be applied.  Inside engine_begin(). */
bool
webhooks_are_stored(void)
{
	return statement_run(&webhooks_wait, NULL, NULL) > 0;
}

/* Apply a batch, inside a transaction.  A round goes through all that is stored, and what it leaves gets another. */
static void
apply_batch(Worker *worker, TimestampTz now)
{
	static Statement apply = {
		2,
		{INT4OID, INT8OID},
		"SELECT is_full, last_id FROM canopy_summit.apply_webhook_batch($1, $2)"};
	Datum arguments[2] = {Int32GetDatum(WEBHOOK_BATCH), Int64GetDatum(worker->applied_id)};
	bool isnull;

	(void) statement_run(&apply, arguments, NULL);
	worker->webhooks_wanted = DatumGetBool(statement_column(1, &isnull));
	worker->applied_id = worker->webhooks_wanted ? DatumGetInt64(statement_column(2, &isnull)) : 0;
	if (worker->webhooks_wanted)
		return;
	worker->apply_at = TimestampTzPlusMilliseconds(now, WEBHOOK_PAUSE);
	worker->apply_left_at =
		webhooks_are_stored() ? TimestampTzPlusMilliseconds(now, WEBHOOK_AGAIN) : DT_NOEND;
}

/*
 * Apply a batch of the webhooks that are stored.  The commit need not be waited
 * for: what is lost with it is stored still, and applied again.
 */
void
worker_apply(Worker *worker, TimestampTz now)
{
	if (worker->work_at > now)
		return;
	PG_TRY();
	{
		work_begin("applying webhooks");
		apply_batch(worker, now);
		work_commit_later();
	}
	PG_CATCH();
	{
		ErrorData *error = work_abort(worker->turn);

		ereport(LOG, (errmsg("could not apply webhooks: %s", error->message)));
		worker->webhooks_wanted = true;
		worker->applied_id = 0;
		worker->apply_at = TimestampTzPlusMilliseconds(now, WEBHOOK_AGAIN);
	}
	PG_END_TRY();
}
