/*
 * retention.c
 *	  What retention rules let go.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "engine/statement.h"
#include "job/retention.h"
#include "process/chore.h"

#define RETENTION_CHUNK 20000 /* jobs, and webhooks, looked at at once */
#define RETENTION_AGAIN 1000  /* ms until the next look while there is more to do */

static Statement find_rules = {0, {0}, "SELECT FROM canopy_summit.retention_rule LIMIT 1"};

/* The oldest jobs from a key on; what is finished for long enough goes, with all that belongs to it. */
static Statement retain = {
	2,
	{INT8OID, INT4OID},
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
static Statement retain_webhooks = {
	1,
	{INT4OID},
	"DELETE FROM canopy_summit.webhook w"
	" WHERE w.webhook_id IN (SELECT o.webhook_id"
	"  FROM canopy_summit.retention_rule r, LATERAL (SELECT i.webhook_id"
	"   FROM canopy_summit.webhook i"
	"   WHERE i.received_at < now() - greatest(r.keep, interval '26 hours')"
	"   AND i.state = 'applied' ORDER BY i.received_at LIMIT $1) AS o"
	"  WHERE r.what = 'webhook') AND w.state = 'applied'"};

/* Let go what the rules say, a chunk at a time. */
static TimestampTz
retention_run(TimestampTz now)
{
	static int64 cursor = 0;
	Datum arguments[2] = {Int64GetDatum(cursor), Int32GetDatum(RETENTION_CHUNK)};
	Record record;
	bool more;
	int64 last;
	int64 looked_at;
	int64 gone;

	if (statement_run(&find_rules, NULL, NULL) == 0)
		return DT_NOEND;
	(void) statement_run(&retain, arguments, NULL);
	record = statement_record(0);
	last = record_int64(&record);
	looked_at = record_int64(&record);
	gone = record_int64(&record);
	cursor = looked_at < RETENTION_CHUNK ? 0 : last;
	more = statement_run(&retain_webhooks, &arguments[1], NULL) == RETENTION_CHUNK;
	return more || (gone > 0 && cursor != 0) ? TimestampTzPlusMilliseconds(now, RETENTION_AGAIN)
											 : DT_NOEND;
}

/* From _PG_init(): somebody may have locked what is old, or the rules, and this should keep nobody waiting. */
void
retention_register(void)
{
	static Chore retention = {.name = "removing what is old",
							  .run = retention_run,
							  .at_scan = true,
							  .gives_way = true};

	chore_register(&retention);
}
