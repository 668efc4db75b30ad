/*
 * launcher.c
 *	  Which database has a worker: one process without a database starts them
 *	  where work is due, and again where one ended too early.
 *
 * It reads pg_database and nothing else.  Workers are started once and never
 * restarted by the postmaster: how one ended decides when the next may start.
 */
#include "shared.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"
#include "worker.h"

#define LAUNCHER_RESTART       5         /* s, after a crash of its own */
#define LAUNCHER_LONGEST_SLEEP (10 * 60) /* s */
#define CROWDED_DELAY          1000      /* ms until a free worker slot is looked for again */

PGDLLEXPORT pg_noreturn void canopy_summit_launcher_main(Datum argument);

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

/*
 * A background worker as PostgreSQL is asked for it: a kind of ours, which has
 * the entry point canopy_summit_<kind>_main(), and when it starts again by itself.
 */
BackgroundWorker
process_describe(const char *kind, int restart_time)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = restart_time;
	strlcpy(worker.bgw_library_name, "canopy_summit", BGW_MAXLEN);
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "canopy_summit_%s_main", kind);
	snprintf(worker.bgw_name, BGW_MAXLEN, "canopy_summit %s", kind);
	snprintf(worker.bgw_type, BGW_MAXLEN, "canopy_summit %s", kind);
	return worker;
}

/* Start such a process, whose end will wake this one.  Its handle, in TopMemoryContext; NULL if no worker slot is free. */
BackgroundWorkerHandle *
process_start(BackgroundWorker *worker)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	BackgroundWorkerHandle *handle;
	bool started;

	worker->bgw_notify_pid = MyProcPid;
	started = RegisterDynamicBackgroundWorker(worker, &handle);
	MemoryContextSwitchTo(old);
	return started ? handle : NULL;
}

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

/* Whether setting canopy_summit.databases names the database, or nothing. */
static bool
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
static void
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
launcher_finds_database(const char *name)
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

		if (count >= (slot->probe ? 1 : setting_workers))
		{
			slot->wanted = false;
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
