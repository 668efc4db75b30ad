/*
 * database_list.c
 *	  Which databases are served, by pg_database and the settings.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "nodes/pg_list.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "process/database_list.h"

char *setting_receiver_database;
static char *setting_databases;

/* Whether setting canopy_summit.databases names the database, or nothing. */
bool
database_is_served(const char *name)
{
	char *setting = pstrdup(setting_databases);
	List *names = NIL;
	ListCell *cell;

	if (!SplitIdentifierString(setting, ',', &names) || names == NIL)
		return true;
	foreach(cell, names)
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	return false;
}

/*
 * The databases that may have the extension and are served, and those that are
 * not, Lists of Oid in the current memory context.
 */
void
database_list(List **served, List **others)
{
	MemoryContext result = CurrentMemoryContext;
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;

	*served = NIL;
	*others = NIL;
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		List **list = database_is_served(NameStr(database->datname)) ? served : others;
		MemoryContext old;

		if (!database->datallowconn || database->datistemplate || database->datconnlimit == -2)
			continue;
		old = MemoryContextSwitchTo(result);
		*list = lappend_oid(*list, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(result);
}

/* Whether there is such a database that takes connections. */
bool
database_find(const char *name)
{
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (!found && (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		found = strcmp(NameStr(database->datname), name) == 0 && database->datallowconn &&
				database->datconnlimit != -2;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return found;
}

/* Which databases are served. */
void
database_list_settings(void)
{
	DefineCustomStringVariable("canopy_summit.databases",
							   "Databases that workers serve, separated by commas.",
							   "Empty: every database that has the extension.", &setting_databases,
							   "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("canopy_summit.receiver_database",
							   "Database in which received webhooks are stored.", NULL,
							   &setting_receiver_database, "postgres", PGC_SIGHUP, 0, NULL, NULL,
							   NULL);
}
