/*
 * check_engine.c
 *	  Checks of what is done in the background, and of what comes in: worker, receiver, webhooks.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "engine/engine.h"
#include "engine/statement.h"
#include "process/database.h"
#include "process/database_list.h"
#include "process/receiver_launch.h"
#include "process/shared.h"
#include "server/connection.h"
#include "server/provider.h"
#include "status/check.h"
#include "status/stats.h"

#define STANDBY "not tested: this is a standby, which sends and receives nothing"

/* Whether a worker is connected to this database; if not, whether its last ones failed, or find no place. */
static bool
worker_is_there(int *failures, bool *crowded)
{
	DatabaseSlot *slot;
	bool found = false;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < SHARED_MAX_WORKERS; i++)
		found |= shared->workers[i].database == MyDatabaseId && shared->workers[i].procno >= 0;
	slot = shared_database(MyDatabaseId, false);
	*failures = slot ? slot->failures : 0;
	*crowded = shared->crowded;
	LWLockRelease(shared->lock);
	return found;
}

/* Raise why there can be no worker at all. */
static void
worker_check_launch(void)
{
	const char *database = get_database_name(MyDatabaseId);
	const char *problem;

	if (shared == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("canopy_summit is not in shared_preload_libraries: jobs wait"),
						errhint("Add it, as by ALTER SYSTEM SET shared_preload_libraries = "
								"'canopy_summit'; and restart PostgreSQL.")));
	if (!database_is_served(database))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("setting canopy_summit.databases leaves this database out"),
						errhint("Add %s to it, or ALTER SYSTEM RESET canopy_summit.databases; and "
								"SELECT pg_reload_conf();",
								quote_identifier(database))));
	problem = database_problem();
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("%s", problem),
						errhint("ALTER EXTENSION canopy_summit UPDATE; or restart PostgreSQL with "
								"the new library.")));
	if (shared->launcher < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the launcher of workers does not run"),
				 errhint("Look for \"canopy_summit launcher\" in PostgreSQL's log; it needs one of "
						 "the max_worker_processes.")));
}

/* A worker runs, or would if something were due. */
Finding
check_worker(Examination *examination, const char **remark)
{
	int failures;
	bool crowded;

	if (RecoveryInProgress())
	{
		*remark = STANDBY;
		return FINDING_NONE;
	}
	worker_check_launch();
	if (worker_is_there(&failures, &crowded))
		return FINDING_GOOD;
	if (failures > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the last worker has ended with an error"),
						errhint("Look for \"canopy_summit worker\" in PostgreSQL's log.")));
	if (crowded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no background worker is left for this database"),
				 errhint("ALTER SYSTEM SET max_worker_processes = %d; and restart PostgreSQL.",
						 max_worker_processes + 8)));
	*remark = "none runs now; one comes when something is due";
	return FINDING_GOOD;
}

/* Whether the receiver of webhooks, if there is to be one, is that of this database. */
static bool
receiver_is_ours(void)
{
	return setting_receiver_port != 0 &&
		   strcmp(setting_receiver_database, get_database_name(MyDatabaseId)) == 0;
}

/* Raise why it does not listen. */
static void
receiver_check_running(void)
{
	ReceiverSlot receiver = {0};
	const char *problem;

	if (shared != NULL)
	{
		LWLockAcquire(shared->lock, LW_SHARED);
		receiver = shared->receiver;
		LWLockRelease(shared->lock);
	}
	if (receiver.pid == 0 || receiver.database != MyDatabaseId)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the receiver does not run"),
				 errhint("It needs what workers need; then look for \"canopy_summit receiver\" in "
						 "PostgreSQL's log.")));
	problem = receiver_problem(&receiver);
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the receiver answers 503: %s", problem),
						errhint("It repeats by itself what has failed; see "
								"canopy_summit.receiver_status.")));
}

/* It listens for this database, if it shall. */
Finding
check_receiver(Examination *examination, const char **remark)
{
	if (RecoveryInProgress())
		*remark = STANDBY;
	else if (setting_receiver_port == 0)
		*remark = "not used: canopy_summit.receiver_port is not set";
	else if (!receiver_is_ours())
		*remark = psprintf("not used: canopy_summit.receiver_database is \"%s\"",
						   setting_receiver_database);
	if (*remark != NULL)
		return FINDING_NONE;
	receiver_check_running();
	*remark = psprintf("listens on port %d", setting_receiver_port);
	return FINDING_GOOD;
}

/* What reading the secrets of webhooks is given, and gives. */
typedef struct SecretReading
{
	const char *server;
	WebhookSource *source;
} SecretReading;

static void
webhook_secrets_read(void *argument)
{
	SecretReading *reading = argument;

	reading->source = connection_webhook(reading->server);
}

/* The role whose mapping has the secrets; an error if it is gone. */
static Oid
webhook_role_find(const Connection *connection)
{
	Oid role = connection_webhook_role(connection->server);

	if (!OidIsValid(role))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("the role of option webhook_role does not exist"),
						errhint("ALTER SERVER %s OPTIONS (SET webhook_role '…');",
								quote_identifier(connection->server))));
	return role;
}

/* There is something to verify webhooks with. */
Finding
check_webhook_secret(Examination *examination, const char **remark)
{
	SecretReading reading = {.server = examination->connection->server};
	Oid role = webhook_role_find(examination->connection);
	ErrorData *error = check_attempt(webhook_secrets_read, &reading);
	const char *name = quote_identifier(GetUserNameFromId(role, false));
	const char *server = quote_identifier(reading.server);
	const char *statement;

	/* Where somebody else's files are is not for the caller to know. */
	if (error != NULL && !has_privs_of_role(GetUserId(), role))
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
						errmsg("the webhook_secret of role %s cannot be used", name),
						errhint("SELECT * FROM canopy_summit.check_server(%s); as that role says "
								"why.",
								quote_literal_cstr(reading.server))));
	if (error != NULL)
		ReThrowError(error);
	if (reading.source->secrets != NIL)
		return FINDING_GOOD;
	statement =
		psprintf("ALTER USER MAPPING FOR %s SERVER %s OPTIONS (ADD webhook_secret_file '/…');",
				 name, server);
	if (receiver_is_ours())
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role %s has no webhook_secret for server %s", name, server),
						errhint("%s", statement)));
	*remark = psprintf("to receive webhooks: %s", statement);
	return FINDING_NONE;
}

/* When the newest webhook of a server came, as text; NULL if none of the newest 10000 is its. */
static const char *
webhook_newest(Oid server)
{
	static Statement newest = {
		1,
		{OIDOID},
		"SELECT max(w.received_at)::text "
		"FROM (SELECT n.received_at, n.server_oid, n.server, n.instance "
		"	FROM canopy_summit.webhook n ORDER BY n.received_at DESC LIMIT 10000) AS w "
		"WHERE canopy_summit.server_of(w.server_oid, w.server, w.instance) = $1"};
	MemoryContext context = CurrentMemoryContext;
	Values arguments = {0};
	const char *found;
	Engine engine;
	Record record;

	values_add_oid(&arguments, server);
	engine_begin(&engine);
	statement_run_values(&newest, &arguments);
	record = statement_record(0);
	found = record_text(&record);
	found = found ? MemoryContextStrdup(context, found) : NULL;
	engine_end(&engine);
	return found;
}

/* One has come. */
Finding
check_webhook(Examination *examination, const char **remark)
{
	const Connection *connection = examination->connection;
	const char *newest = webhook_newest(connection->server_oid);

	if (newest != NULL)
	{
		*remark = psprintf("came at %s", newest);
		return FINDING_GOOD;
	}
	*remark =
		psprintf("none has come: have %s send them to https://…/webhooks/%s, see "
				 "doc/webhooks.md",
				 connection->provider == PROVIDER_CANOPY ? "Canopy" : "Summit", connection->server);
	return FINDING_NONE;
}
