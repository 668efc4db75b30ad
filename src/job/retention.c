/*
 * retention.c
 *	  What retention rules let go: a task, which is there while there is something to do.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "engine/engine.h"
#include "engine/privilege.h"
#include "engine/statement.h"
#include "job/retention.h"
#include "process/chore.h"
#include "task/task.h"

#define RETENTION "retention"

#define CHUNK      "5000" /* jobs, and webhooks, looked at at once */
#define LOOK_AGAIN 1000   /* ms until the next ones are */

PG_FUNCTION_INFO_V1(canopy_summit_apply_retention);

/* What there are rules for. */
typedef struct Subject
{
	const char *name;
	Statement is_due; /* of a key: whether any of the next chunk would go, the next key or NULL */
	Statement let_go; /* of a part's position: how many rows are gone, the next position or NULL */
} Subject;

/* The oldest jobs; what is finished for long enough goes, with all that belongs to it. */
#define JOBS_AFTER(key)                                                                   \
	"WITH chunk AS MATERIALIZED (SELECT j.job_id, j.finished_at FROM canopy_summit.job j" \
	" WHERE j.job_id > " key " ORDER BY j.job_id LIMIT " CHUNK "),"                       \
	" old AS (SELECT c.job_id, w.what FROM chunk c JOIN canopy_summit.retention_rule w"   \
	"  ON w.what IN ('job', 'job_response') AND c.finished_at < now() - w.keep"           \
	"  AND (w.what = 'job' OR EXISTS (SELECT FROM canopy_summit.job_response r WHERE r.job_id = c.job_id)))"

/*
 * The oldest applied webhooks, but none that may still come again: then it would
 * be a new one.  Neither provider retries, and no tolerance reaches, that far back.
 */
#define OLD_WEBHOOKS                                                                                     \
	"WITH old AS (SELECT o.webhook_id FROM canopy_summit.retention_rule r, LATERAL (SELECT i.webhook_id" \
	"  FROM canopy_summit.webhook i"                                                                     \
	"  WHERE i.received_at < now() - greatest(r.keep, interval '26 hours')"                              \
	"  AND i.state = 'applied' ORDER BY i.received_at LIMIT " CHUNK                                      \
	") AS o WHERE r.what = 'webhook')"

/* One that has failed, and left rows under the former name of a server, is needed to find them. */
#define OLD_TASKS(locked)                                                                         \
	"WITH old AS (SELECT t.task_id FROM canopy_summit.task t JOIN canopy_summit.retention_rule r" \
	" ON r.what = 'task' AND t.finished_at < now() - r.keep"                                      \
	" WHERE t.what <> 'rename' OR t.state = 'done'" locked ")"

/* One look finds all there is. */
#define NOTHING_AFTER " SELECT EXISTS (SELECT FROM old) AND $1 IS NOT NULL, NULL::bigint"

/* clang-format off */
static Subject subjects[] = {
	{"job", {1, {INT8OID}, JOBS_AFTER("$1")
			" SELECT EXISTS (SELECT FROM old), CASE WHEN count(*) = " CHUNK " THEN max(job_id) END FROM chunk"},
		{1, {JSONBOID}, JOBS_AFTER("($1 ->> 'after')::bigint") ","
		" response AS (DELETE FROM canopy_summit.job_response r USING old WHERE r.job_id = old.job_id RETURNING 1),"
		" attempt AS (DELETE FROM canopy_summit.job_attempt a USING old"
		"  WHERE a.job_id = old.job_id AND old.what = 'job'),"
		" gone AS (DELETE FROM canopy_summit.job j USING old"
		"  WHERE j.job_id = old.job_id AND old.what = 'job' RETURNING 1)"
		" SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM response),"
		"  CASE WHEN count(*) = " CHUNK
		"   THEN jsonb_set($1, '{after}', to_jsonb(max(job_id))) END FROM chunk"}},
	{"webhook", {1, {INT8OID}, OLD_WEBHOOKS NOTHING_AFTER},
		{1, {JSONBOID}, OLD_WEBHOOKS ","
		" gone AS (DELETE FROM canopy_summit.webhook w USING old"
		"  WHERE w.webhook_id = old.webhook_id AND w.state = 'applied' RETURNING 1)"
		" SELECT count(*), CASE WHEN count(*) = " CHUNK " THEN $1 END FROM gone"}},
	{"task", {1, {INT8OID}, OLD_TASKS("") NOTHING_AFTER},
		{1, {JSONBOID}, OLD_TASKS(" FOR UPDATE OF t SKIP LOCKED") ","
		" part AS (DELETE FROM canopy_summit.task_part p USING old WHERE p.task_id = old.task_id),"
		" gone AS (DELETE FROM canopy_summit.task t USING old WHERE t.task_id = old.task_id RETURNING 1)"
		" SELECT count(*), NULL::jsonb FROM gone"}},
};
/* clang-format on */

static Statement find_rules = {.sql = "SELECT FROM canopy_summit.retention_rule LIMIT 1"};

/* One that is under way, or has failed lately. */
static Statement find_task = {
	.sql = "SELECT FROM canopy_summit.task t WHERE t.what = '" RETENTION "'"
		   " AND t.instance = canopy_summit.instance()"
		   " AND (t.finished_at IS NULL OR t.finished_at > now() - interval '1 hour') LIMIT 1"};

static Statement add_part = {
	2,
	{INT8OID, TEXTOID},
	"INSERT INTO canopy_summit.task_part (task_id, part, position, not_before, failures)"
	" VALUES ($1, nextval('canopy_summit.task_part_seq'),"
	" jsonb_build_object('subject', $2, 'after', 0), now(), 0)"};

/*
 * Whether a rule would let something go: of what is there from a key on, which
 * becomes the one to go on from.  0 = from the first.
 */
static bool
subject_is_due(Subject *subject, int64 *after)
{
	Datum from = Int64GetDatum(*after);
	Record record;
	bool is_due;

	(void) statement_run(&subject->is_due, &from, NULL);
	record = statement_record(0);
	is_due = record_boolean(&record);
	*after = record_int64(&record);
	return is_due;
}

/* The same of all subjects, and to the end if that is wanted. */
static bool
anything_is_due(int64 *after, bool to_the_end)
{
	for (int i = 0; i < lengthof(subjects); i++)
		do
		{
			if (subject_is_due(&subjects[i], &after[i]))
				return true;
		} while (to_the_end && after[i] != 0);
	return false;
}

/*
 * Start the task for a role, if there is something to do and nobody does it.
 * Returns its task_id, or 0.
 */
static int64
retention_start(Oid role, int64 *after, bool to_the_end)
{
	JsonBuilder args = {0};

	if (statement_run(&find_rules, NULL, NULL) == 0 || statement_run(&find_task, NULL, NULL) > 0)
	{
		memset(after, 0, sizeof(int64) * lengthof(subjects));
		return 0;
	}
	if (!anything_is_due(after, to_the_end))
		return 0;
	builder_begin_object(&args);
	return task_start(RETENTION, NULL, InvalidOid, builder_finish_object(&args), role);
}

/* A part for each subject. */
static void
parts_make(TaskPart *part)
{
	for (int i = 0; i < lengthof(subjects); i++)
		(void) statement_run(&add_part,
							 (Datum[]){Int64GetDatum(part->task_id),
									   CStringGetTextDatum(subjects[i].name)},
							 NULL);
}

/* The first batch makes parts, each other lets some of its subject go. */
static void
retention_batch(TaskPart *part)
{
	const char *name = part->position ? json_text_field(part->position, "subject") : NULL;

	if (name == NULL)
		parts_make(part);
	for (int i = 0; i < lengthof(subjects) && name != NULL; i++)
	{
		Datum position = JsonbPGetDatum(part->position);
		Record record;

		if (strcmp(subjects[i].name, name) != 0)
			continue;
		(void) statement_run(&subjects[i].let_go, &position, NULL);
		record = statement_record(0);
		part->done = record_int64(&record);
		part->next = record_json(&record);
	}
}

/* Chore: see whether there is something to do, a chunk of jobs at a time until all are seen. */
static TimestampTz
retention_look(TimestampTz now)
{
	static int64 after[lengthof(subjects)] = {0};

	(void) retention_start(privilege_extension_owner(), after, false);
	for (int i = 0; i < lengthof(subjects); i++)
		if (after[i] != 0)
			return TimestampTzPlusMilliseconds(now, LOOK_AGAIN);
	return DT_NOEND;
}

/* From _PG_init(): somebody may have locked what is old, or the rules, and looking should keep nobody waiting. */
void
retention_register(void)
{
	static Chore look = {.name = "looking for what is old",
						 .run = retention_look,
						 .at_scan = true,
						 .gives_way = true};

	chore_register(&look);
}

/* From _PG_init(). */
void
retention_kind_register(void)
{
	static TaskKind retention = {.what = RETENTION,
								 .batch = retention_batch,
								 .leaves_nothing = true};

	task_kind_register(&retention);
}

/* canopy_summit.apply_retention() -> bigint: starts the task; NULL if there is nothing to do, or somebody does it */
Datum
canopy_summit_apply_retention(PG_FUNCTION_ARGS)
{
	int64 after[lengthof(subjects)] = {0};
	Oid role = GetUserId();
	Engine engine;
	int64 task_id;

	PreventCommandIfReadOnly("apply_retention()");
	engine_begin(&engine);
	task_id = retention_start(role, after, true);
	engine_end(&engine);
	if (task_id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(task_id);
}
