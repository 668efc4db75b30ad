/*
 * shared.c
 *	  What processes know of each other, in shared memory.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/backoff.h"
#include "process/shared.h"

#define FAILURE_DELAY         (5 * 1000) /* ms, doubled with every failure in a row */
#define FAILURE_LONGEST_DELAY (60 * 1000)
#define YIELD_DELAY           1000 /* ms that a DROP DATABASE or the like gets */

int setting_workers; /* of a database */

SharedState *shared = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

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
	return TimestampTzPlusMilliseconds(now, failures == 0 ? YIELD_DELAY
														  : backoff_delay(FAILURE_DELAY,
																		  FAILURE_LONGEST_DELAY,
																		  failures - 1));
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

/* From _PG_init(): shared memory, if this is the postmaster. */
void
shared_initialize(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = shared_request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shared_startup;
}

/* How many workers a database has. */
void
shared_settings(void)
{
	DefineCustomIntVariable("canopy_summit.workers", "Workers that drain one database.", NULL,
							&setting_workers, 1, 1, 16, PGC_SIGHUP, 0, NULL, NULL, NULL);
}
