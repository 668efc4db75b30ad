/*
 * database.c
 *	  What background processes have to know of the database they are connected
 *	  to: whether it has the extension, and whether somebody waits for them to go.
 */
#include "postgres.h"

#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/guc.h"

#include "engine/transaction.h"
#include "process/database.h"

#define AUTO_EXPLAIN_PARAMETERS "auto_explain.log_parameter_max_length"

/*
 * Whether somebody waits to drop, rename, move or copy this database: then its
 * lock, which every session takes when it connects, cannot be had.
 */
bool
database_is_wanted(void)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, RowExclusiveLock, true);
	return false;
}

/*
 * Why this library cannot work here: no extension, or another version of it, in
 * the current memory context; NULL if it can.  Inside a transaction with a snapshot.
 */
const char *
database_problem(void)
{
	static const char *const sql =
		"SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'canopy_summit'";
	MemoryContext context = CurrentMemoryContext;
	const char *problem = NULL;
	const char *version;

	if (!OidIsValid(get_extension_oid("canopy_summit", true)))
		return "extension canopy_summit is not there";
	if (SPI_connect() != SPI_OK_CONNECT || SPI_execute(sql, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read the version of the extension");
	version = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (strcmp(version, CANOPY_SUMMIT_VERSION) != 0)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		problem = psprintf("its extension has version %s, the library %s", version,
						   CANOPY_SUMMIT_VERSION);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return problem;
}

/*
 * Settings of the session.  Every statement of a worker looks up a batch by a
 * key, in tables whose statistics are always out of date: plans must not follow
 * them.
 */
void
session_settings(void)
{
	static const char *const settings[][2] = {
		{"lock_timeout", PATIENCE_USUAL},
		{"statement_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"jit", "off"},
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_sort", "off"},
		{"plan_cache_mode", "force_generic_plan"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	/* From PostgreSQL 16 it would write what goes into our statements, secrets included, into the log. */
	if (GetConfigOption(AUTO_EXPLAIN_PARAMETERS, true, false) != NULL)
		SetConfigOption(AUTO_EXPLAIN_PARAMETERS, "0", PGC_SUSET, PGC_S_OVERRIDE);
}
