/*
 * billable.c
 *	  What billable requests may be sent a day, by server.
 *
 * A claim counts before it sends, in its own transaction, so that neither a crash nor
 * another worker can have more sent than the limit.  What is over it is put off until the
 * next day (UTC).  A count is given back where the request is known not to have had an
 * effect: it never left, or its job is queued again, which a billable one is only then.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "api/operation.h"
#include "engine/instance.h"
#include "engine/statement.h"
#include "http/transfer.h"
#include "job/billable.h"
#include "job/job.h"
#include "job/settlement.h"

int setting_billable_daily_limit;

enum
{
	DAY_OPEN,
	DAY_ADD,
	DAY_GIVE_BACK,
	JOB_PUT_OFF,
	JOB_BRING_FORWARD,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	/* Locks the row until the transaction ends; others who count wait as long. */
	[DAY_OPEN] = {4, {INT8OID, OIDOID, DATEOID, TEXTOID},
		"INSERT INTO canopy_summit.billable_day AS d (instance, server_oid, day, server, sent)"
		" VALUES ($1, $2, $3, $4, 0)"
		" ON CONFLICT (instance, server_oid, day) DO UPDATE SET server = EXCLUDED.server"
		" RETURNING d.sent"},
	[DAY_ADD] = {5, {INT8OID, OIDOID, DATEOID, INT8OID, INT4OID},
		"UPDATE canopy_summit.billable_day SET sent = sent + $4, put_off_at = coalesce($5, put_off_at)"
		" WHERE instance = $1 AND server_oid = $2 AND day = $3"},
	[DAY_GIVE_BACK] = {3, {INT8OID, OIDOID, DATEOID},
		"UPDATE canopy_summit.billable_day SET sent = sent - 1,"
		/* No limit is that one: who was put off for want of room is brought forward. */
		" put_off_at = CASE WHEN put_off_at IS NOT NULL THEN -2 END"
		" WHERE instance = $1 AND server_oid = $2 AND day = $3"},
	[JOB_PUT_OFF] = {3, {INT8ARRAYOID, TIMESTAMPTZOID, INT4OID},
		"UPDATE canopy_summit.job SET state = 'queued', run_at = $2, epoch = NULL, lease_until = NULL,"
		" first_sent_at = NULL, outcome_code = 'billable_limit',"
		" outcome = 'canopy_summit.billable_daily_limit is ' || $3 || ': it goes the next day (UTC)'"
		" WHERE job_id = ANY ($1)"},
	[JOB_BRING_FORWARD] = {4, {INT8OID, DATEOID, INT4OID, TIMESTAMPTZOID},
		"WITH changed AS (UPDATE canopy_summit.billable_day SET put_off_at = NULL"
		"  WHERE instance = $1 AND day = $2 AND put_off_at <> $3 RETURNING server_oid),"
		/* One that somebody has locked goes the next day. */
		" put_off AS (SELECT q.job_id FROM canopy_summit.job q, changed c"
		"  WHERE q.state = 'queued' AND q.instance = $1 AND q.server_oid = c.server_oid AND q.run_at > $4"
		"  AND q.outcome_code = 'billable_limit' FOR UPDATE OF q SKIP LOCKED)"
		" UPDATE canopy_summit.job j SET run_at = $4 FROM put_off p WHERE j.job_id = p.job_id"},
};
/* clang-format on */

/* The day of a moment, in UTC: both count from 2000-01-01. */
static DateADT
utc_day(TimestampTz moment)
{
	return (DateADT) (moment / USECS_PER_DAY);
}

/* In the order in which they are to be sent. */
static int
job_compare(const ListCell *left, const ListCell *right)
{
	const Job *a = lfirst(left);
	const Job *b = lfirst(right);

	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->run_at != b->run_at)
		return a->run_at < b->run_at ? -1 : 1;
	return a->job_id < b->job_id ? -1 : a->job_id > b->job_id;
}

/* Queue jobs again for the day after. */
static void
put_off(List *jobs, DateADT day)
{
	Datum *ids = palloc(sizeof(Datum) * list_length(jobs));
	ListCell *cell;

	foreach(cell, jobs)
		ids[foreach_current_index(cell)] = Int64GetDatum(((Job *) lfirst(cell))->job_id);
	(void) statement_run(&statements[JOB_PUT_OFF],
						 (Datum[]){statement_array(ids, NULL, list_length(jobs), INT8OID),
								   TimestampTzGetDatum((day + 1) * USECS_PER_DAY),
								   Int32GetDatum(setting_billable_daily_limit)},
						 NULL);
}

/* Count the billable jobs of one server; those over the limit are put off and returned. */
static List *
server_count(List *jobs)
{
	const Job *first = linitial(jobs);
	DateADT day = utc_day(first->claimed_at);
	Datum key[] = {Int64GetDatum(instance_current()), ObjectIdGetDatum(first->server_oid),
				   DateADTGetDatum(day)};
	int64 room = list_length(jobs);
	List *excess;

	(void) statement_run(&statements[DAY_OPEN],
						 (Datum[]){key[0], key[1], key[2], CStringGetTextDatum(first->server)},
						 NULL);
	if (setting_billable_daily_limit >= 0)
		room = Max(0, setting_billable_daily_limit - DatumGetInt64(statement_value()));
	excess = list_copy_tail(jobs, (int) Min(room, list_length(jobs)));
	(void) statement_run(&statements[DAY_ADD],
						 (Datum[]){key[0], key[1], key[2],
								   Int64GetDatum(list_length(jobs) - list_length(excess)),
								   Int32GetDatum(setting_billable_daily_limit)},
						 excess != NIL ? NULL : "    n");
	if (excess != NIL)
		put_off(excess, day);
	return excess;
}

/* Whether a request is known to have had no effect. */
static bool
is_not_billed(const Settlement *settlement)
{
	return settlement->accepted && settlement->job->costs &&
		   (settlement->state == JOB_QUEUED || settlement->response == NULL ||
			!settlement->response->was_sent);
}

/* Give back what was counted for an attempt that ended without an effect. */
static void
give_back(const Job *job)
{
	(void) statement_run(&statements[DAY_GIVE_BACK],
						 (Datum[]){Int64GetDatum(instance_current()),
								   ObjectIdGetDatum(job->server_oid),
								   DateADTGetDatum(utc_day(job->claimed_at))},
						 NULL);
}

/* The servers that have something to count, in the order in which everybody locks their rows. */
static List *
servers_of(List *jobs, List *settlements)
{
	List *servers = NIL;
	ListCell *cell;

	foreach(cell, jobs)
		if (((Job *) lfirst(cell))->costs)
			servers = list_append_unique_oid(servers, ((Job *) lfirst(cell))->server_oid);
	foreach(cell, settlements)
		if (is_not_billed(lfirst(cell)))
			servers =
				list_append_unique_oid(servers, ((Settlement *) lfirst(cell))->job->server_oid);
	list_sort(servers, list_oid_cmp);
	return servers;
}

/*
 * Count claimed jobs that cost (a List of Job *), each on the day of its claim, and give back
 * what was counted for attempts without an effect (a List of Settlement *).  Returns the jobs
 * that are over the limit: they are not claimed any more.
 */
List *
billable_count(List *jobs, List *settlements)
{
	List *excess = NIL;
	ListCell *server;
	ListCell *cell;

	foreach(server, servers_of(jobs, settlements))
	{
		List *here = NIL;

		foreach(cell, settlements)
			if (is_not_billed(lfirst(cell)) &&
				((Settlement *) lfirst(cell))->job->server_oid == lfirst_oid(server))
				give_back(((Settlement *) lfirst(cell))->job);
		foreach(cell, jobs)
			if (((Job *) lfirst(cell))->costs &&
				((Job *) lfirst(cell))->server_oid == lfirst_oid(server))
				here = lappend(here, lfirst(cell));
		list_sort(here, job_compare);
		if (here != NIL)
			excess = list_concat(excess, server_count(here));
	}
	return excess;
}

/* Have jobs sent that were put off by another limit than there is now. */
void
billable_bring_forward(TimestampTz now)
{
	(void) statement_run(&statements[JOB_BRING_FORWARD],
						 (Datum[]){Int64GetDatum(instance_current()), DateADTGetDatum(utc_day(now)),
								   Int32GetDatum(setting_billable_daily_limit),
								   TimestampTzGetDatum(now)},
						 NULL);
}

void
billable_settings(void)
{
	DefineCustomIntVariable("canopy_summit.billable_daily_limit",
							"Most billable requests that are sent to a server in a day (UTC).",
							"-1 means no limit, 0 that nothing billable is sent.",
							&setting_billable_daily_limit, -1, -1, INT_MAX, PGC_SUSET, 0, NULL,
							NULL, NULL);
}
