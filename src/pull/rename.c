/*
 * rename.c
 *	  Servers that get another name: their rows follow, by a task, whoever renames
 *	  them and however.
 *
 * ALTER SERVER waits for those who write rows under the old name, and they for it
 * (identity_hold_server()): after its COMMIT nobody writes one, so that the task
 * finds all.  A batch locks what storing locks, in the same order: accounts by
 * their bytes, then pulls.  A name is a server's only while no row of another has it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "engine/engine.h"
#include "engine/identity.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "pull/former.h"
#include "pull/pull_row.h"
#include "pull/rename.h"
#include "server/connection.h"
#include "task/task.h"

#define RENAME    "rename"
#define PART_SIZE 20 /* pulls, or rows of what else there is, that are locked together, roughly */

PG_FUNCTION_INFO_V1(canopy_summit_note_server_name);
PG_FUNCTION_INFO_V1(canopy_summit_note_dropped_servers);
PG_FUNCTION_INFO_V1(canopy_summit_rename_server);

enum
{
	FORMER_OF,
	DROPPED_FORGET,
	DROPPED_NOTE,
	DROPPED_LIST,
	TASKS_NAME,
	HAS_ROWS,
	IS_SUCCESSOR,
	TASK_FIND,
	TASK_SERVER,
	PARTS_MAKE,
	ACCOUNTS_FIND,
	PULLS_FOLLOW,
	ROWS_FOLLOW,
	STATEMENT_COUNT
};

#define OPEN_RENAMES " FROM canopy_summit.task t WHERE t.what = 'rename' AND t.state <> 'done'"
#define SERVER_NAME  "canopy_summit.server_name(t.server_oid, t.server, t.instance)"

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	/* Whose rows still have this name, another server's or the same one's. */
	[FORMER_OF] = {1, {TEXTOID},
		"SELECT t.task_id, " SERVER_NAME ", t.instance = canopy_summit.instance()" OPEN_RENAMES
		" AND t.args ->> 'former' = $1 ORDER BY " SERVER_NAME " = $1 LIMIT 1"},
	[DROPPED_FORGET] = {1, {TEXTOID},
		"DELETE FROM canopy_summit.dropped_server WHERE name = $1"},
	/* One of another wrapper has no rows, whoever had its name before it, or will have followed another server. */
	[DROPPED_NOTE] = {1, {TEXTOID},
		"INSERT INTO canopy_summit.dropped_server (name, dropped_at) SELECT $1, now()"
		" WHERE (canopy_summit.server_has_rows($1) OR EXISTS (SELECT" OPEN_RENAMES " AND " SERVER_NAME " = $1))"
		" AND NOT EXISTS (SELECT" OPEN_RENAMES " AND t.args ->> 'former' = $1 AND " SERVER_NAME " <> $1)"
		" ON CONFLICT (name) DO NOTHING"},
	[DROPPED_LIST] = {.sql =
		"SELECT o.objid, o.object_name FROM pg_event_trigger_dropped_objects() AS o WHERE o.object_type = 'server'"},
	/* Tasks of another instance, and of a server that is gone, know theirs by the name that it had. */
	[TASKS_NAME] = {3, {TEXTOID, OIDOID, TEXTOID},
		"UPDATE canopy_summit.task u SET server = $1 WHERE u.task_id IN (SELECT t.task_id" OPEN_RENAMES
		" AND (canopy_summit.server_of(t.server_oid, t.server, t.instance) = $2 OR " SERVER_NAME " = $3))"},
	[HAS_ROWS] = {1, {TEXTOID},
		"SELECT canopy_summit.server_has_rows($1)"},
	/* Of a server that was dropped under this name while its rows followed it; they would follow the next one. */
	[IS_SUCCESSOR] = {2, {TEXTOID, OIDOID},
		"SELECT" OPEN_RENAMES " AND " SERVER_NAME " = $1"
		" AND canopy_summit.server_of(t.server_oid, t.server, t.instance) <> $2 LIMIT 1"},
	[TASK_FIND] = {2, {TEXTOID, OIDOID},
		"SELECT max(t.task_id)" OPEN_RENAMES " AND t.args ->> 'former' = $1 AND t.server_oid = $2"},
	[TASK_SERVER] = {1, {INT8OID},
		"SELECT canopy_summit.server_of(t.server_oid, t.server, t.instance), t.server"
		" FROM canopy_summit.task t WHERE t.task_id = $1"},
	[PARTS_MAKE] = {3, {INT8OID, TEXTOID, INT4OID},
		"SELECT canopy_summit.rename_parts($1, $2, $3)"},
	[ACCOUNTS_FIND] = {2, {TEXTOID, TEXTARRAYOID},
		"SELECT DISTINCT s.account_identifier::text COLLATE \"C\" AS account FROM canopy_summit.pull_state s"
		" WHERE s.server = $1 AND s.pull_id = ANY ($2) AND s.account_identifier IS NOT NULL ORDER BY account"},
	[PULLS_FOLLOW] = {4, {TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID},
		"SELECT canopy_summit.follow_pulls($1, $2, $3 || canopy_summit.pulls_of_accounts($2, $4))"},
	[ROWS_FOLLOW] = {4, {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID},
		"SELECT canopy_summit.follow_rows(t.name, t.key, $2, $3, $4)"
		" FROM canopy_summit.named_tables() AS t WHERE t.name = $1"},
};
/* clang-format on */

/* Whether a server is of one of our wrappers. */
static bool
server_is_ours(const ForeignServer *server)
{
	Provider provider;

	return provider_find(GetForeignDataWrapper(server->fdwid)->fdwname, &provider);
}

/* Error 42710: rows of another server still have this name.  True if rows of this one do, which had it before. */
static bool
name_check(const char *name)
{
	Datum argument = CStringGetTextDatum(name);
	Record record;
	const char *server;
	long long task_id;

	if (statement_run_now(&statements[FORMER_OF], &argument, NULL) == 0)
		return false;
	record = statement_record(0);
	task_id = (long long) record_int64(&record);
	server = record_text(&record);
	if (strcmp(server, name) == 0)
		return true;
	ereport(
		ERROR,
		(errcode(ERRCODE_DUPLICATE_OBJECT),
		 errmsg("rows of server \"%s\" still have the name \"%s\"", server, name),
		 record_boolean(&record)
			 ? errhint("Wait until they have followed: SELECT canopy_summit.wait_for_task(%lld); "
					   "without workers, CALL canopy_summit.run_tasks();",
					   task_id)
			 : errhint("They follow once canopy_summit.arm() has adopted task %lld.", task_id)));
}

/* Whether rows have this name for their server's, whoever has committed them. */
static bool
name_has_rows(const char *name)
{
	Datum argument = CStringGetTextDatum(name);

	statement_run_now(&statements[HAS_ROWS], &argument, NULL);
	return DatumGetBool(statement_value());
}

/* Whether rows of a server that is gone are on their way to this name. */
static bool
name_is_awaited(const char *name, Oid server)
{
	Datum arguments[2] = {CStringGetTextDatum(name), ObjectIdGetDatum(server)};

	return statement_run_now(&statements[IS_SUCCESSOR], arguments, NULL) > 0;
}

/* A server has been made: rows of one that was dropped, and had its name, are its own. */
static void
server_is_made(const char *name)
{
	Datum argument = CStringGetTextDatum(name);

	(void) name_check(name);
	statement_run(&statements[DROPPED_FORGET], &argument, NULL);
}

/* A server of this name has got it instead of another one: have its rows follow. */
static void
server_is_renamed(Oid server, const char *former, const char *name, Oid role)
{
	JsonBuilder args = {0};
	Values values = {0};

	identity_take_server(server);
	if ((!name_check(name) && name_has_rows(name)) || name_is_awaited(name, server))
		ereport(
			ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("rows of another server have the name \"%s\"", name),
			 errhint("Choose another name. CREATE SERVER %s makes a server that has these rows.",
					 quote_identifier(name))));
	former_forget();
	values_add_text(&values, name);
	values_add_oid(&values, server);
	values_add_text(&values, former);
	statement_run_values(&statements[TASKS_NAME], &values);
	if (!name_has_rows(former))
		return;
	builder_add_text(&args, "former", former);
	builder_add_integer(&args, "server", server); /* another one of the name has its own task */
	(void) task_start(RENAME, name, server, builder_finish_object(&args), role);
}

/* canopy_summit.note_server_name(), an event trigger.  Error 42710: rows of another server have the name. */
Datum
canopy_summit_note_server_name(PG_FUNCTION_ARGS)
{
	const char *former = NULL;
	const char *name;
	ForeignServer *server;
	Oid role = GetUserId();
	Engine engine;
	Node *command;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "not called as an event trigger");
	command = ((EventTriggerData *) fcinfo->context)->parsetree;
	if (IsA(command, CreateForeignServerStmt))
		name = castNode(CreateForeignServerStmt, command)->servername;
	else if (IsA(command, RenameStmt))
	{
		former = strVal(castNode(RenameStmt, command)->object);
		name = castNode(RenameStmt, command)->newname;
	}
	else
		PG_RETURN_NULL();
	server = GetForeignServerByName(name, true);
	if (server == NULL || !server_is_ours(server))
		PG_RETURN_NULL();
	engine_begin(&engine);
	if (former == NULL)
		server_is_made(name);
	else
		server_is_renamed(server->serverid, former, name, role);
	engine_end(&engine);
	PG_RETURN_NULL();
}

/* canopy_summit.note_dropped_servers(), an event trigger. */
Datum
canopy_summit_note_dropped_servers(PG_FUNCTION_ARGS)
{
	Engine engine;
	uint64 count;
	SPITupleTable *dropped;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "not called as an event trigger");
	engine_begin(&engine);
	count = statement_run(&statements[DROPPED_LIST], NULL, NULL);
	dropped = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		Record record = {.row = dropped->vals[i], .descriptor = dropped->tupdesc};
		Datum name;

		identity_take_server(record_oid(&record));
		name = record_datum(&record);
		statement_run_now(&statements[DROPPED_NOTE], &name, NULL);
	}
	engine_end(&engine);
	PG_RETURN_NULL();
}

/* The server that a task is about, and the name that it has until this transaction ends. */
static const char *
task_server_hold(int64 task_id)
{
	Datum argument = Int64GetDatum(task_id);
	Record record;
	Oid server;

	statement_run(&statements[TASK_SERVER], &argument, NULL);
	record = statement_record(0);
	server = record_oid(&record);
	return identity_hold_server(server, record_text(&record));
}

/* Have pulls follow, those of an account together. */
static void
pulls_follow(const char *server, const char *former, Datum pulls)
{
	Datum arguments[4] = {CStringGetTextDatum(former), pulls};
	uint64 count = statement_run(&statements[ACCOUNTS_FIND], arguments, NULL);
	SPITupleTable *found = SPI_tuptable;
	List *accounts = NIL;

	for (uint64 i = 0; i < count; i++)
	{
		Record record = {.row = found->vals[i], .descriptor = found->tupdesc};

		accounts = lappend(accounts, record_text(&record));
		(void) account_lock_row(server, llast(accounts));
	}
	arguments[0] = CStringGetTextDatum(server);
	arguments[1] = CStringGetTextDatum(former);
	arguments[2] = pulls;
	arguments[3] = statement_texts(accounts);
	statement_run(&statements[PULLS_FOLLOW], arguments, NULL);
}

/* The texts, or numbers, of an array as text[]; how many there are. */
static Datum
position_keys(Jsonb *position, int64 *count)
{
	static Statement take = {
		1,
		{JSONBOID},
		"SELECT ARRAY(SELECT jsonb_array_elements_text($1 -> 'keys')), jsonb_array_length($1 -> 'keys')"};
	Datum argument = JsonbPGetDatum(position);
	Record record;
	Datum keys;

	statement_run(&take, &argument, NULL);
	record = statement_record(0);
	keys = record_datum(&record);
	*count = record_int32(&record);
	return keys;
}

/* The first batch makes parts, each other has the rows of its part follow. */
static void
rename_batch(TaskPart *part)
{
	const char *former = json_text_field(part->args, "former");
	const char *server = task_server_hold(part->task_id);
	const char *table;
	Values values = {0};
	Datum keys;

	if (strcmp(former, server) == 0)
		return; /* it has been renamed back */
	if (part->position == NULL)
	{
		values_add_int64(&values, part->task_id);
		values_add_text(&values, former);
		values_add_int32(&values, PART_SIZE);
		statement_run_values(&statements[PARTS_MAKE], &values);
		part->total = DatumGetInt64(statement_value());
		return;
	}
	table = json_text_field(part->position, "table");
	keys = position_keys(part->position, &part->done);
	if (strcmp(table, "pull_state") == 0)
		pulls_follow(server, former, keys);
	else
		statement_run(&statements[ROWS_FOLLOW],
					  (Datum[]){CStringGetTextDatum(table), CStringGetTextDatum(server),
								CStringGetTextDatum(former), keys},
					  NULL);
}

/* From _PG_init(). */
void
rename_register(void)
{
	static TaskKind rename = {.what = RENAME, .batch = rename_batch};

	task_kind_register(&rename);
}

/* Run ALTER SERVER as the caller, whose rights decide. */
static void
alter_server(const char *old, const char *new)
{
	const char *command =
		psprintf("ALTER SERVER %s RENAME TO %s", quote_identifier(old), quote_identifier(new));

	if (SPI_connect() != SPI_OK_CONNECT || SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run a statement");
	SPI_finish();
}

/*
 * canopy_summit.rename_server(old name, new name) -> bigint: the task_id; NULL if no row has the old name.
 * Errors: 42704 no such server, 42809 it is not one of ours, 42501, 42710 the new name is taken.
 */
Datum
canopy_summit_rename_server(PG_FUNCTION_ARGS)
{
	const char *old = NameStr(*PG_GETARG_NAME(0));
	const char *new = NameStr(*PG_GETARG_NAME(1));
	Datum arguments[2] = {CStringGetTextDatum(old)};
	Engine engine;
	int64 task_id;
	Record record;

	PreventCommandIfReadOnly("rename_server()");
	(void) connection_provider(old);
	alter_server(old, new);
	arguments[1] = ObjectIdGetDatum(GetForeignServerByName(new, false)->serverid);
	engine_begin(&engine);
	statement_run(&statements[TASK_FIND], arguments, NULL);
	record = statement_record(0);
	task_id = record_int64(&record);
	if (record.isnull && name_has_rows(old))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rows of server \"%s\" do not follow it", old),
			 errhint(
				 "Event trigger canopy_summit_rename is disabled, or event triggers are off.")));
	engine_end(&engine);
	if (task_id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(task_id);
}
