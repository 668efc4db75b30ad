/*
 * task.c
 *	  Kinds of tasks, and the rows of tasks: starting one, and how far it is.
 *
 * Kinds are registered from _PG_init().  A task is started in the transaction of
 * whoever wants it, and nothing is done before its COMMIT.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "engine/instance.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "process/shared.h"
#include "process/wake.h"
#include "task/kind.h"
#include "task/task.h"

#define KINDS_MAX 16

static TaskKind *kinds[KINDS_MAX];
static int kind_count = 0;

/* One that has not begun is taken again, and kept from beginning before this transaction has ended. */
static Statement insert_task = {
	7,
	{TEXTOID, JSONBOID, INT8OID, TEXTOID, OIDOID, NAMEOID, OIDOID},
	"INSERT INTO canopy_summit.task (task_id, what, args, state, done, started_at, started_by,"
	" started_by_oid, updated_at, server, server_oid, instance)"
	" VALUES (nextval('canopy_summit.task_id_seq'), $1, $2, 'waiting', 0, now(), $6, $7, now(), $4, $5, $3)"
	" ON CONFLICT (instance, what, args) WHERE state = 'waiting' DO UPDATE SET updated_at = now()"
	" RETURNING task_id, xmax = 0"};

static Statement insert_part = {
	1,
	{INT8OID},
	"INSERT INTO canopy_summit.task_part (task_id, part, position, not_before, failures)"
	" VALUES ($1, nextval('canopy_summit.task_part_seq'), '{}', '-infinity', 0)"};

static Statement advance = {
	3,
	{INT8OID, INT8OID, INT8OID},
	"UPDATE canopy_summit.task SET done = done + $2, total = coalesce($3, total),"
	" updated_at = clock_timestamp(), state = 'running',"
	" began_at = coalesce(began_at, now())"
	" WHERE task_id = $1"};

/* From _PG_init().  The kind stays the caller's, in memory that lasts. */
void
task_kind_register(TaskKind *kind)
{
	if (kind_count == KINDS_MAX)
		elog(ERROR, "too many kinds of tasks");
	kinds[kind_count++] = kind;
}

/* The kind of this name; NULL if there is none. */
TaskKind *
task_kind_find(const char *what)
{
	for (int i = 0; i < kind_count; i++)
		if (strcmp(kinds[i]->what, what) == 0)
			return kinds[i];
	return NULL;
}

/* The names of those kinds that have batches, a List of char *. */
List *
task_kinds_done_here(void)
{
	List *names = NIL;

	for (int i = 0; i < kind_count; i++)
		if (kinds[i]->batch != NULL)
			names = lappend(names, unconstify(char *, kinds[i]->what));
	return names;
}

/* Say, where there are no workers, who does it then. */
static void
notice_absence(void)
{
	if (shared == NULL)
		ereport(NOTICE, (errmsg("no worker will do this task"),
						 errhint("After COMMIT, CALL canopy_summit.run_tasks();")));
}

/*
 * Start a task for a role, about a server unless that is NULL; or the one of the
 * same kind and arguments that has not begun.  Returns its task_id.  Inside
 * engine_begin().
 */
int64
task_start(const char *what, const char *server, Oid server_oid, Jsonb *args, Oid role)
{
	Values values = {0};
	Record record;
	int64 task_id;

	values_add_text(&values, what);
	values_add_json(&values, args);
	values_add_int64(&values, instance_current());
	values_add_text(&values, server);
	values_add_unless(&values, server == NULL, ObjectIdGetDatum(server_oid));
	values_add_name(&values, GetUserNameFromId(role, false));
	values_add_oid(&values, role);
	(void) statement_run_values(&insert_task, &values);
	record = statement_record(0);
	task_id = record_int64(&record);
	if (record_boolean(&record) && task_kind_find(what)->batch != NULL)
	{
		Datum argument = Int64GetDatum(task_id);

		(void) statement_run(&insert_part, &argument, NULL);
		notice_absence();
	}
	wake_at_commit(DT_NOBEGIN);
	return task_id;
}

/*
 * Note that so much more of a task is done, out of a total unless that is
 * negative.  In the transaction of what is done, and last in it: others who work on
 * the task wait for its end.
 */
void
task_advance(int64 task_id, int64 done, int64 total)
{
	Values values = {0};

	values_add_int64(&values, task_id);
	values_add_int64(&values, done);
	values_add_unless(&values, total < 0, Int64GetDatum(total));
	(void) statement_run_values(&advance, &values);
}
