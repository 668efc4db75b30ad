/*
 * apply_webhooks.c
 *	  Applying what the inbox has stored: a chore, a batch a transaction.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "engine/statement.h"
#include "process/chore.h"
#include "worker/apply_webhooks.h"

#define BATCH 200  /* webhooks that are applied together */
#define PAUSE 50   /* ms between batches that are not full: more may come, and go together */
#define AGAIN 1000 /* ms until webhooks that somebody had locked are looked at again */

static TimestampTz apply_run(TimestampTz now);

static Chore apply = {.name = "applying webhooks", .run = apply_run, .at_scan = true};

static Statement apply_batch = {
	2,
	{INT4OID, INT8OID},
	"SELECT is_full, last_id FROM canopy_summit.apply_webhook_batch($1, $2)"};
static Statement find_stored = {
	.sql = "SELECT FROM canopy_summit.webhook WHERE state = 'stored' LIMIT 1"};

/* Apply a batch.  A round goes through all that is stored, and what it leaves gets another. */
static TimestampTz
apply_run(TimestampTz now)
{
	static int64 last_id = 0; /* where the batch that comes next goes on */
	Datum arguments[2] = {Int32GetDatum(BATCH), Int64GetDatum(last_id)};
	Record record;

	last_id = 0; /* if this fails */
	(void) statement_run(&apply_batch, arguments, NULL);
	record = statement_record(0);
	if (record_boolean(&record))
	{
		last_id = record_int64(&record);
		return now;
	}
	apply.not_before = TimestampTzPlusMilliseconds(now, PAUSE);
	return statement_run(&find_stored, NULL, NULL) > 0 ? TimestampTzPlusMilliseconds(now, AGAIN)
													   : DT_NOEND;
}

/* Webhooks have been stored. */
void
apply_want(TimestampTz now)
{
	chore_want(&apply, now);
}

/* From _PG_init(). */
void
apply_register(void)
{
	chore_register(&apply);
}
