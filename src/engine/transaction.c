/*
 * transaction.c
 *	  Transactions of background processes: they begin without a statement of a
 *	  client's, and an error ends them and not the process.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/compat.h"
#include "engine/engine.h"
#include "engine/transaction.h"

static Engine engine;

/*
 * SIGINT: PostgreSQL sends it for lock_timeout; nobody else cancels what a
 * background process does, nor its wait for a standby, after which a commit would
 * look as if it had been confirmed.
 */
void
work_cancel(SIGNAL_ARGS)
{
	if (get_timeout_indicator(LOCK_TIMEOUT, false))
		StatementCancelHandler(SIGNAL_PASSED);
}

/*
 * Keep the extension, if it is there, until the transaction ends.  DROP EXTENSION
 * locks it before any of its tables: so it waits for a transaction as a whole, or
 * this waits for it, and they cannot be a deadlock.
 */
static void
keep_extension(void)
{
	Oid extension = get_extension_oid("canopy_summit", true);
	Oid kept = InvalidOid;

	while (extension != kept)
	{
		kept = extension;
		if (OidIsValid(kept))
			LockDatabaseObject(ExtensionRelationId, kept, 0, AccessShareLock);
		extension = get_extension_oid("canopy_summit", true);
	}
}

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	keep_extension();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* Begin a short transaction, in which the engine's statements can run. */
void
work_begin(const char *activity)
{
	pgstat_report_activity(STATE_RUNNING, activity);
	begin();
	engine_begin(&engine);
}

/* Commit as synchronous_commit says. */
static void
work_end(void)
{
	engine_end(&engine);
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Commit without waiting for the disk, or for anybody else. */
void
work_commit_later(void)
{
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	work_end();
}

/*
 * Commit, and be sure that it is on disk, and where else the server's
 * synchronous_commit and standbys want it.  A process that is told to end does
 * not wait for a standby any longer, and PostgreSQL returns as if it had come:
 * then nobody may be told so, and the process ends here.
 */
void
work_commit(void)
{
	ForceSyncCommit();
	work_end();
	if (ProcDiePending) /* nothing else may be raised: the commit stands */
		CHECK_FOR_INTERRUPTS();
}

/* Undo all of it. */
void
work_rollback(void)
{
	engine_end(&engine);
	AbortCurrentTransaction();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Abort after an error, and take the error, in a memory context that becomes the current one. */
ErrorData *
work_abort(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	HOLD_INTERRUPTS();
	AbortCurrentTransaction();
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(context);
	pgstat_report_activity(STATE_IDLE, NULL);
	return error;
}

/* Begin a transaction that only reads. */
void
look_begin(void)
{
	begin();
}

void
look_end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* How long transactions of this process wait for a lock, from now on. */
void
lock_patience(const char *patience)
{
	SetConfigOption("lock_timeout", patience, PGC_SUSET, PGC_S_OVERRIDE);
}
