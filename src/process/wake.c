/*
 * wake.c
 *	  How a COMMIT wakes those who send.
 *
 * A transaction that enqueues notes the earliest run_at; its COMMIT, or its
 * COMMIT PREPARED, sets the latch of the database's workers, or of the launcher
 * if there is none.  A wake-up that is lost costs time only: workers scan once
 * a minute.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "process/shared.h"
#include "process/wake.h"

PG_FUNCTION_INFO_V1(canopy_summit_wake);

static ProcessUtility_hook_type previous_utility_hook = NULL;
static TimestampTz pending_wake = DT_NOEND; /* of the current transaction */
static bool pending_webhooks = false;       /* of the current transaction */
static bool is_committed = false; /* the current transaction, whose locks may not be free yet */

static void
latch_set(int procno)
{
	if (procno >= 0)
		SetLatch(&GetPGProcByNumber(procno)->procLatch);
}

/* Have the launcher look at the slots. */
void
wake_launcher(void)
{
	if (shared != NULL)
		latch_set(shared->launcher);
}

/*
 * A job of the database is due at run_at, or webhooks were stored: tell its
 * workers, and the launcher if there may be more of them.
 */
static void
shared_wake(Oid database, TimestampTz run_at, bool webhooks)
{
	DatabaseSlot *slot;
	int workers = 0;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = shared_database(database, true);
	if (slot != NULL)
	{
		for (int i = 0; i < SHARED_MAX_WORKERS; i++)
		{
			WorkerSlot *worker = &shared->workers[i];

			if (worker->database != database || worker->procno < 0)
				continue;
			worker->rescan_from = Min(worker->rescan_from, run_at);
			worker->webhooks |= webhooks;
			latch_set(worker->procno);
			workers++;
		}
		if (workers == 0)
			slot->rescan_from = Min(slot->rescan_from, run_at);
		/* It still knows of what is due earlier, and may have reason to wait. */
		if (workers < setting_workers && run_at < slot->run_at)
		{
			slot->run_at = run_at;
			latch_set(shared->launcher);
		}
	}
	LWLockRelease(shared->lock);
}

/* Have a worker of this database look, whatever becomes of this transaction. */
void
wake_now(void)
{
	shared_wake(MyDatabaseId, GetCurrentTimestamp(), false);
}

/* Wake when this transaction has committed; -infinity: look at every queued job. */
void
wake_at_commit(TimestampTz run_at)
{
	pending_wake = Min(pending_wake, run_at);
}

/* Have a worker apply webhooks when this transaction has committed. */
void
wake_for_webhooks(void)
{
	pending_webhooks = true;
	wake_at_commit(GetCurrentTransactionStartTimestamp());
}

/* Say once a transaction, where there are no workers, that nobody will send what was enqueued. */
void
wake_notice_absence(void)
{
	static LocalTransactionId noticed = InvalidLocalTransactionId;

	if (shared != NULL || noticed == my_lxid)
		return;
	noticed = my_lxid;
	ereport(NOTICE,
			(errmsg("no worker will send this job"),
			 errhint("Add canopy_summit to shared_preload_libraries and restart the server.")));
}

/* Transaction callback, registered once a process. */
static void
wake_on_xact(XactEvent event, void *argument)
{
	if (event == XACT_EVENT_COMMIT)
		is_committed = true;
	else if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		pending_wake = DT_NOEND;
		pending_webhooks = false;
	}
}

/*
 * Resource callback, registered once a process: the end of a commit.  Others see what it
 * has written before they hear what it has changed in the catalogs, and before its locks
 * are free: a worker that was woken earlier would send with what it knows of old.
 */
static void
wake_on_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *argument)
{
	TimestampTz run_at = pending_wake;
	bool webhooks = pending_webhooks;

	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level || !is_committed)
		return;
	is_committed = false;
	pending_wake = DT_NOEND;
	pending_webhooks = false;
	if (run_at != DT_NOEND)
		shared_wake(MyDatabaseId, run_at, webhooks);
}

/* Utility hook: what a prepared transaction enqueued is not known here any more, so look at all. */
static void
wake_on_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *receiver, QueryCompletion *completion)
{
	bool commits_prepared =
		IsA(statement->utilityStmt, TransactionStmt) &&
		castNode(TransactionStmt, statement->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED;

	if (previous_utility_hook)
		previous_utility_hook(statement, query, read_only_tree, context, params, environment,
							  receiver, completion);
	else
		standard_ProcessUtility(statement, query, read_only_tree, context, params, environment,
								receiver, completion);
	if (commits_prepared)
		shared_wake(MyDatabaseId, DT_NOBEGIN, true);
}

/* canopy_summit.wake() */
Datum
canopy_summit_wake(PG_FUNCTION_ARGS)
{
	wake_at_commit(DT_NOBEGIN);
	PG_RETURN_VOID();
}

/* From _PG_init(): callbacks, and a hook if this is the postmaster. */
void
wake_initialize(void)
{
	RegisterXactCallback(wake_on_xact, NULL);
	RegisterResourceReleaseCallback(wake_on_release, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = wake_on_utility;
}
