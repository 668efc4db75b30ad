/*
 * remap.c
 *	  Every entity row again from the current versions: a task, while pulls are
 *	  stored.
 *
 * A part is some pull_ids.  Its batch takes the locks that storing takes, in
 * the same order: first those of all its pulls, then rows of accounts by their
 * bytes, then rows of pulls.  What is stored after a task has begun is right
 * already: the columns that were missing are made first.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/jsonb_build.h"
#include "engine/engine.h"
#include "engine/statement.h"
#include "pull/entity_batch.h"
#include "pull/pull_row.h"
#include "pull/remap.h"
#include "pull/shred.h"
#include "task/task.h"

#define REMAP "remap"

#define PART_SIZE 20 /* pulls that are written, and whose locks are held, together, roughly */

PG_FUNCTION_INFO_V1(canopy_summit_remap);

static Statement make_columns = {.sql = "SELECT canopy_summit.make_added_columns()"};

/*
 * Pulls of an account are neighbors, and in one part unless they are many: two
 * batches seldom want the row of the same account.
 */
static Statement make_parts = {
	2,
	{INT8OID, INT4OID},
	"WITH pull AS MATERIALIZED (SELECT s.server, s.pull_id, coalesce('a' || s.account_identifier::text, s.pull_id) AS owner"
	"  FROM canopy_summit.pull_state s),"
	" numbered AS (SELECT p.*, row_number() OVER (ORDER BY p.server, p.owner, p.pull_id) - 1 AS number,"
	"  count(*) OVER (PARTITION BY p.server, p.owner) AS neighbors FROM pull p),"
	" placed AS (SELECT n.pull_id, CASE WHEN n.neighbors > $2 THEN n.number"
	"  ELSE min(n.number) OVER (PARTITION BY n.server, n.owner) END / $2 AS place FROM numbered n),"
	" once AS (SELECT pull_id, min(place) AS place FROM placed GROUP BY pull_id),"
	" made AS (INSERT INTO canopy_summit.task_part (task_id, part, position, not_before, failures)"
	"  SELECT $1, nextval('canopy_summit.task_part_seq'), jsonb_build_object('pulls', p.pulls), now(), 0"
	"  FROM (SELECT jsonb_agg(pull_id) AS pulls FROM once GROUP BY place ORDER BY place) AS p)"
	" SELECT count(*) FROM pull"};

static Statement divide_part = {
	2,
	{INT8OID, JSONBOID},
	"INSERT INTO canopy_summit.task_part (task_id, part, position, not_before, failures)"
	" SELECT $1, nextval('canopy_summit.task_part_seq'),"
	"  jsonb_build_object('pulls', jsonb_build_array(p.pull_id)), clock_timestamp() + random() * interval '0.2 s', 0"
	" FROM jsonb_array_elements_text($2 -> 'pulls') AS p(pull_id)"
	" WHERE jsonb_array_length($2 -> 'pulls') > 1"};

#define OF_PART " WHERE s.pull_id = ANY (ARRAY(SELECT jsonb_array_elements_text($1 -> 'pulls')))"

static Statement find_pulls = {1,
							   {JSONBOID},
							   "SELECT s.server, s.pull_id FROM canopy_summit.pull_state s" OF_PART
							   " ORDER BY s.pull_id COLLATE \"C\", s.server COLLATE \"C\""};

/*
 * Pulls whose server was renamed, and have not followed yet, with its name.  The names of
 * all servers of the part stay from here until the transaction ends.
 */
static Statement find_followers = {
	1,
	{JSONBOID},
	"WITH held AS MATERIALIZED (SELECT d.server, canopy_summit.hold_name(d.server) AS name"
	"  FROM (SELECT DISTINCT s.server FROM canopy_summit.pull_state s" OF_PART ") AS d)"
	" SELECT h.name, s.pull_id FROM canopy_summit.pull_state s JOIN held h ON h.server = s.server" OF_PART
	" AND h.name <> s.server ORDER BY s.pull_id COLLATE \"C\""};

static Statement find_accounts = {
	1,
	{JSONBOID},
	"SELECT DISTINCT s.server, s.account_identifier::text COLLATE \"C\" AS account"
	" FROM canopy_summit.pull_state s" OF_PART
	" AND s.account_identifier IS NOT NULL ORDER BY account, s.server"};

/* Pairs of texts that a statement finds for a part, a List of arrays of two. */
static List *
part_pairs(Statement *statement, const TaskPart *part)
{
	Datum position = JsonbPGetDatum(part->position);
	uint64 count = statement_run(statement, &position, NULL);
	SPITupleTable *found = SPI_tuptable;
	List *pairs = NIL;

	for (uint64 i = 0; i < count; i++)
	{
		Record record = {.row = found->vals[i], .descriptor = found->tupdesc};
		const char **pair = palloc(2 * sizeof(char *));

		pair[0] = record_text(&record);
		pair[1] = record_text(&record);
		pairs = lappend(pairs, pair);
	}
	SPI_freetuptable(found);
	return pairs;
}

/* Have the views show the pull that they should of an account. */
static void
account_remap(EntityBatch *batch, const char *server, const char *account)
{
	ListCell *cell;

	foreach(cell, account_choose(server, account))
	{
		PullTurn *turn = lfirst(cell);

		entity_batch_show(batch,
						  (Datum[]){CStringGetTextDatum(server),
									CStringGetTextDatum(turn->pull_id)},
						  turn->is_current);
	}
}

/* Shred the current version of a pull again. */
static void
pull_remap(EntityBatch *batch, const char *server, const char *pull_id)
{
	Datum keys[2] = {CStringGetTextDatum(server), CStringGetTextDatum(pull_id)};
	PullState state;
	RowOrigin origin;
	Jsonb *document;
	Drift drift = {0};
	MemoryContext old;
	EntityRows *rows;

	if (!state_lock(keys, &state))
		return;
	if (state.account == NULL && state.is_current != state.is_data)
	{
		state.is_current = state.is_data;
		state_turn(keys, state.is_current);
	}
	origin = state_origin(server, pull_id, &state);
	document = version_document(keys, state.version);
	old = MemoryContextSwitchTo(entity_batch_prepare(batch, keys));
	rows = shred(&origin, document, NULL, &drift);
	MemoryContextSwitchTo(old);
	entity_batch_add(batch, keys, rows, true);
}

/* Write the rows of all pulls of a part; how many these are. */
static int
part_remap(const TaskPart *part)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "canopy_remap", ALLOCSET_DEFAULT_SIZES);
	EntityBatch *batch = entity_batch_begin();
	List *pulls;
	List *accounts;
	ListCell *cell;

	foreach(cell, part_pairs(&find_followers, part))
		pull_follow(((const char **) lfirst(cell))[0], ((const char **) lfirst(cell))[1]);
	pulls = part_pairs(&find_pulls, part);
	foreach(cell, pulls)
		pull_guard(((const char **) lfirst(cell))[0], ((const char **) lfirst(cell))[1]);
	accounts = part_pairs(&find_accounts, part);
	foreach(cell, accounts)
		(void) account_lock(((const char **) lfirst(cell))[0], ((const char **) lfirst(cell))[1]);
	foreach(cell, accounts)
		account_remap(batch, ((const char **) lfirst(cell))[0], ((const char **) lfirst(cell))[1]);
	foreach(cell, pulls)
	{
		const char **pull = lfirst(cell);
		MemoryContext old = MemoryContextSwitchTo(scratch);

		CHECK_FOR_INTERRUPTS();
		pull_remap(batch, pull[0], pull[1]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	entity_batch_end(batch);
	return list_length(pulls);
}

/* The first batch makes columns and parts, each other writes the pulls of its part. */
static void
remap_batch(TaskPart *part)
{
	Datum arguments[2] = {Int64GetDatum(part->task_id), Int32GetDatum(PART_SIZE)};

	if (part->position != NULL)
	{
		part->done = part_remap(part);
		return;
	}
	(void) statement_run(&make_columns, NULL, NULL);
	(void) statement_run(&make_parts, arguments, NULL);
	part->total = DatumGetInt64(statement_value());
}

/* A part for each pull. */
static bool
remap_divide(TaskPart *part)
{
	Datum arguments[2] = {Int64GetDatum(part->task_id), JsonbPGetDatum(part->position)};

	return statement_run(&divide_part, arguments, NULL) > 0;
}

/* From _PG_init(). */
void
remap_register(void)
{
	static TaskKind remap = {.what = REMAP, .batch = remap_batch, .divide = remap_divide};

	task_kind_register(&remap);
}

/* canopy_remap() -> bigint: starts the task, returns its task_id */
Datum
canopy_summit_remap(PG_FUNCTION_ARGS)
{
	JsonBuilder args = {0};
	Oid role = GetUserId();
	Engine engine;
	int64 task_id;

	PreventCommandIfReadOnly("canopy_remap()");
	builder_begin_object(&args);
	engine_begin(&engine);
	task_id = task_start(REMAP, NULL, InvalidOid, builder_finish_object(&args), role);
	engine_end(&engine);
	PG_RETURN_INT64(task_id);
}
