/*
 * launcher.c
 *	  Which database has a worker: one process without a database starts them
 *	  where work is due, and again where one ended too early.
 *
 * It reads pg_database and nothing else.  Workers are started once and never
 * restarted by the postmaster: how one ended decides when the next may start.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "process/database_list.h"
#include "process/launcher.h"
#include "process/process.h"
#include "process/receiver_launch.h"
#include "process/shared.h"

#define LAUNCHER_RESTART       5         /* s, after a crash of its own */
#define LAUNCHER_LONGEST_SLEEP (10 * 60) /* s */
#define CROWDED_DELAY          1000      /* ms until a free worker slot is looked for again */

pg_noreturn PGDLLEXPORT void canopy_summit_launcher_main(Datum argument);

/* A worker that this launcher started. */
typedef struct Child
{
	BackgroundWorkerHandle *handle;
	int slot; /* in shared->workers */
	uint32 tenancy;
} Child;

static List *children = NIL;

/* Databases that canopy_summit.databases leaves out, a List of Oid; read every turn. */
static List *refused = NIL;

/* From _PG_init() in the postmaster: have the launcher started when the server takes writes. */
void
launcher_register(void)
{
	BackgroundWorker worker = process_describe("launcher", LAUNCHER_RESTART);

	RegisterBackgroundWorker(&worker);
}

static void
launcher_detach(int code, Datum argument)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = -1;
	LWLockRelease(shared->lock);
}

/* Forget databases that are gone, and let a probe visit each of the others. */
static void
databases_refresh(bool probe)
{
	List *served;
	ListCell *cell;

	database_list(&served, &refused);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SHARED_MAX_DATABASES; i++)
	{
		Oid database = shared->databases[i].database;

		if (!list_member_oid(served, database) && !list_member_oid(refused, database))
			shared->databases[i].database = InvalidOid;
	}
	foreach(cell, served)
	{
		DatabaseSlot *slot = probe ? shared_database(lfirst_oid(cell), true) : NULL;

		if (slot == NULL || slot->wanted)
			continue;
		slot->wanted = true;
		slot->probe = true;
		slot->not_before = DT_NOBEGIN;
	}
	LWLockRelease(shared->lock);
}

/* Let go of children that have ended. */
static void
children_reap(void)
{
	ListCell *cell;

	foreach(cell, children)
	{
		Child *child = lfirst(cell);
		pid_t pid;

		if (GetBackgroundWorkerPid(child->handle, &pid) != BGWH_STOPPED)
			continue;
		/* One that never started could not say so itself; by now another may have its slot. */
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		if (shared->workers[child->slot].tenancy == child->tenancy)
			shared_worker_ended(&shared->workers[child->slot]);
		LWLockRelease(shared->lock);
		pfree(child->handle);
		pfree(child);
		children = foreach_delete_current(children, cell);
	}
}

/* Start one worker for a database; false if no worker slot is free. */
static bool
worker_start(int index, Oid database)
{
	BackgroundWorker worker = process_describe("worker", BGW_NEVER_RESTART);
	uint32 tenancy = shared->workers[index].tenancy; /* before the process can raise it */
	BackgroundWorkerHandle *handle;
	MemoryContext old;
	Child *child;

	worker.bgw_main_arg = Int32GetDatum(index);
	snprintf(worker.bgw_name, BGW_MAXLEN, "canopy_summit worker for database %u", database);
	handle = process_start(&worker);
	if (handle == NULL)
		return false;
	old = MemoryContextSwitchTo(TopMemoryContext);
	child = palloc(sizeof(Child));
	*child = (Child){.handle = handle, .slot = index, .tenancy = tenancy};
	children = lappend(children, child);
	MemoryContextSwitchTo(old);
	return true;
}

/* The first free worker slot, or -1; and how many workers the database has.  The caller holds the lock. */
static int
worker_slot_find(Oid database, int *count)
{
	int found = -1;

	*count = 0;
	for (int i = 0; i < SHARED_MAX_WORKERS; i++)
	{
		if (shared->workers[i].database == database)
			(*count)++;
		else if (found < 0 && shared->workers[i].database == InvalidOid)
			found = i;
	}
	return found;
}

/*
 * Start the workers that a database lacks, if it wants any.  Returns when it
 * has to be looked at again.
 */
static TimestampTz
database_serve(DatabaseSlot *slot, TimestampTz now, bool *crowded)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	/* Its slot stays, which spares enqueuers there to wake the launcher each time. */
	if (list_member_oid(refused, slot->database))
	{
		slot->wanted = false;
		slot->not_before = DT_NOEND;
	}
	while (slot->database != InvalidOid && (slot->wanted || slot->run_at <= now) &&
		   slot->not_before <= now)
	{
		int count;
		int index = worker_slot_find(slot->database, &count);

		if (count >= setting_workers)
		{
			slot->wanted = false;
			slot->probe = false;
			slot->run_at = DT_NOEND;
			break;
		}
		if (index < 0)
			*crowded = true;
		else
		{
			shared->workers[index] = (WorkerSlot){.database = slot->database,
												  .tenancy = shared->workers[index].tenancy + 1,
												  .procno = -1,
												  .rescan_from = DT_NOEND,
												  .end = WORKER_CRASHED};
			if (!worker_start(index, slot->database))
			{
				shared->workers[index].database = InvalidOid;
				*crowded = true;
			}
		}
		if (*crowded)
			break;
		/* One of them looks; if it finds work, it calls the others. */
		if (slot->probe)
		{
			slot->wanted = false;
			slot->run_at = DT_NOEND;
			break;
		}
	}
	now = slot->database == InvalidOid ? DT_NOEND
		  : slot->wanted               ? slot->not_before
									   : Max(slot->run_at, slot->not_before);
	LWLockRelease(shared->lock);
	return now;
}

/* Start what is wanted or due, databases in turn; milliseconds until the next is. */
static long
databases_serve(void)
{
	static int first = 0;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = TimestampTzPlusMilliseconds(now, 1000 * (int64) LAUNCHER_LONGEST_SLEEP);
	bool crowded = false;
	int64 left;

	for (int i = 0; i < SHARED_MAX_DATABASES && !crowded; i++)
	{
		int turn = (first + i) % SHARED_MAX_DATABASES;
		TimestampTz due = database_serve(&shared->databases[turn], now, &crowded);

		if (crowded)
			first = turn;
		next = Min(next, due);
	}
	next = Min(next, receiver_serve(now));
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->crowded = crowded;
	LWLockRelease(shared->lock);
	if (crowded)
		return CROWDED_DELAY;
	left = TimestampDifferenceMilliseconds(now, next);
	return (long) Max(left, 10);
}

static void
launcher_start(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(launcher_detach, 0);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = my_procno;
	LWLockRelease(shared->lock);
	pgstat_report_appname("canopy_summit launcher");
}

/* Entry point of the launcher. */
void
canopy_summit_launcher_main(Datum argument)
{
	MemoryContext scratch;

	launcher_start();
	scratch =
		AllocSetContextCreate(TopMemoryContext, "canopy_summit launcher", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	databases_refresh(true);
	for (;;)
	{
		long timeout;

		MemoryContextReset(scratch);
		children_reap();
		databases_refresh(false);
		timeout = databases_serve();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			databases_refresh(true);
			receiver_reload();
		}
	}
}
