/*
 * shared.c
 *	  Shared memory, and how a COMMIT wakes those who send.
 *
 * A transaction that enqueues notes the earliest run_at; its COMMIT, or its
 * COMMIT PREPARED, sets the latch of the database's workers, or of the launcher
 * if there is none.  A wake-up that is lost costs time only: workers scan once
 * a minute.
 */
#include "shared.h"

#include "access/xact.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

#define FAILURE_DELAY         5    /* s, doubled with every failure in a row */
#define FAILURE_LONGEST_DELAY 60   /* s */
#define YIELD_DELAY           1000 /* ms that a DROP DATABASE or the like gets */

SharedState *shared = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;
static ProcessUtility_hook_type previous_utility_hook = NULL;
static TimestampTz pending_wake = DT_NOEND; /* of the current transaction */
static bool pending_webhooks = false;       /* of the current transaction */
static bool is_committed = false; /* the current transaction, whose locks may not be free yet */

static void
shared_request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(SharedState)));
	RequestNamedLWLockTranche("canopy_summit", 1);
}

static void
shared_startup(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("canopy_summit", sizeof(SharedState), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(SharedState));
		shared->lock = &GetNamedLWLockTranche("canopy_summit")->lock;
		shared->launcher = -1;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* The slot of a database; NULL if there is none, or no room for it.  The caller holds the lock. */
DatabaseSlot *
shared_database(Oid database, bool create)
{
	DatabaseSlot *free_slot = NULL;

	for (int i = 0; i < SHARED_MAX_DATABASES; i++)
	{
		DatabaseSlot *slot = &shared->databases[i];

		if (slot->database == database)
			return slot;
		if (free_slot == NULL && slot->database == InvalidOid)
			free_slot = slot;
	}
	if (!create || free_slot == NULL)
		return NULL;
	*free_slot = (DatabaseSlot){.database = database,
								.run_at = DT_NOEND,
								.rescan_from = DT_NOEND,
								.not_before = DT_NOBEGIN};
	return free_slot;
}

/* When the next of a kind may start, of which so many in a row have failed. */
TimestampTz
shared_back_off(TimestampTz now, int failures)
{
	int delay = Min(FAILURE_DELAY << Min(failures - 1, 8), FAILURE_LONGEST_DELAY);

	return TimestampTzPlusMilliseconds(now, failures == 0 ? YIELD_DELAY : 1000 * (int64) delay);
}

/*
 * Free the slot of a worker that has ended, and decide when its database may
 * have the next.  The caller holds the lock.
 */
void
shared_worker_ended(WorkerSlot *worker)
{
	DatabaseSlot *slot = shared_database(worker->database, false);
	WorkerEnd end = worker->end;
	TimestampTz now = GetCurrentTimestamp();
	bool unseen;

	if (worker->database == InvalidOid)
		return;
	worker->database = InvalidOid;
	if (slot == NULL)
		return;
	/* One that got something done has not failed like the last one. */
	slot->failures = end != WORKER_CRASHED ? 0 : worker->settled > 0 ? 1 : slot->failures + 1;
	/* What was announced while it left, it has not seen. */
	unseen = worker->rescan_from != DT_NOEND || slot->rescan_from != DT_NOEND;
	slot->wanted = (end != WORKER_ABSENT && end != WORKER_IDLE) || unseen;
	if (end == WORKER_ABSENT && !unseen)
		slot->database = InvalidOid; /* an enqueue makes a new slot */
	else if (end == WORKER_YIELDED || end == WORKER_CRASHED)
		slot->not_before = shared_back_off(now, slot->failures);
}

/* Whether the worker of an epoch of this database has ended a turn since: it is not stuck. */
bool
shared_worker_turns(int64 epoch, TimestampTz since)
{
	bool turns = false;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < SHARED_MAX_WORKERS; i++)
		turns |= shared->workers[i].database == MyDatabaseId && shared->workers[i].procno >= 0 &&
				 shared->workers[i].epoch == epoch && shared->workers[i].turned_at >= since;
	LWLockRelease(shared->lock);
	return turns;
}

static void
latch_set(int procno)
{
	if (procno >= 0)
		SetLatch(&GetPGProcByNumber(procno)->procLatch);
}

/* The counters of a server of this database, made if need be; NULL if there is no room.  The caller holds the lock. */
ServerCounters *
shared_server(const char *server)
{
	ServerCounters *free_slot = NULL;

	for (int i = 0; i < SHARED_MAX_SERVERS; i++)
	{
		ServerCounters *counters = &shared->servers[i];

		if (counters->database == MyDatabaseId && strcmp(NameStr(counters->server), server) == 0)
			return counters;
		if (free_slot == NULL && counters->database == InvalidOid)
			free_slot = counters;
	}
	if (free_slot == NULL)
		return NULL;
	*free_slot = (ServerCounters){.database = MyDatabaseId,
								  .breaker_until = DT_NOBEGIN,
								  .since = GetCurrentTimestamp()};
	namestrcpy(&free_slot->server, server);
	return free_slot;
}

/* Have the launcher look at the slots. */
void
shared_wake_launcher(void)
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
shared_notice_absence(void)
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

/* From _PG_init(): hooks, and shared memory if this is the postmaster. */
void
shared_initialize(void)
{
	RegisterXactCallback(wake_on_xact, NULL);
	RegisterResourceReleaseCallback(wake_on_release, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = shared_request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shared_startup;
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = wake_on_utility;
}
