/*
 * worker_main.c
 *	  The life of a worker: it comes to a database, drains its job table turn by
 *	  turn, and leaves.
 *
 * No transaction is open while anything is on the wire or waited for.  The
 * worker holds the lock of its epoch as long as it lives, so that nobody needs
 * a clock to know which claims are dead.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "engine/engine.h"
#include "engine/transaction.h"
#include "http/loop.h"
#include "job/epoch.h"
#include "job/job.h"
#include "process/app_request.h"
#include "process/chore.h"
#include "process/database.h"
#include "process/process.h"
#include "process/shared.h"
#include "process/wake.h"
#include "worker/app_token.h"
#include "worker/apply_webhooks.h"
#include "worker/drain.h"
#include "worker/flight.h"
#include "worker/lane.h"
#include "worker/postpone.h"
#include "worker/send.h"
#include "worker/worker.h"

#define TURN_LIMIT (5 * 1000) /* ms that a worker goes on while other databases wait */

#define FREED_MOST \
	(32 * 1024 * 1024) /* bytes at the end of the heap that a worker keeps for later */
#define CHUNK_MOST \
	(4 * 1024 * 1024) /* bytes; a larger piece of memory is the kernel's again once it is freed */

pg_noreturn PGDLLEXPORT void canopy_summit_worker_main(Datum argument);

/* Syscache callback: servers, mappings or roles may be others now. */
static void
on_catalog_change(Datum argument, int cache, uint32 hash)
{
	((Worker *) DatumGetPointer(argument))->catalogs_changed = true;
}

/* Whether somebody has asked this worker to end: that is not a failure. */
static volatile sig_atomic_t is_terminated = false;

static void
on_terminate(SIGNAL_ARGS)
{
	is_terminated = true;
	die(SIGNAL_PASSED);
}

/* Exit callback: free the slot, and decide when the next worker may come. */
static void
worker_detach(int code, Datum argument)
{
	WorkerSlot *slot = &shared->workers[DatumGetInt32(argument)];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot->procno = -1;
	if (slot->end == WORKER_CRASHED && is_terminated)
		slot->end = WORKER_YIELDED;
	shared_worker_ended(slot);
	LWLockRelease(shared->lock);
	wake_launcher();
}

/* The first number that no worker of the database has.  The caller holds the lock. */
static int
worker_number(Oid database)
{
	bool taken[SHARED_MAX_WORKERS] = {0};
	int number = 0;

	for (int i = 0; i < SHARED_MAX_WORKERS; i++)
		if (shared->workers[i].database == database && shared->workers[i].procno >= 0)
			taken[shared->workers[i].number] = true;
	while (taken[number])
		number++;
	return number;
}

/* Take the slot that the launcher has chosen, and return the database to work on. */
static Oid
worker_attach(Worker *worker)
{
	WorkerSlot *slot = &shared->workers[worker->slot];
	DatabaseSlot *database;
	Oid oid;

	before_shmem_exit(worker_detach, Int32GetDatum(worker->slot));
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	oid = slot->database;
	slot->number = worker_number(oid);
	slot->procno = my_procno;
	slot->pid = MyProcPid;
	slot->started_at = GetCurrentTimestamp();
	slot->turned_at = slot->started_at; /* it is not stuck before it has ended a turn */
	database = shared_database(oid, true);
	if (database != NULL)
	{
		worker->is_probe = database->probe;
		database->probe = false;
		/* What a probe that has found work has called for meanwhile is the launcher's to end. */
		if (worker->is_probe)
			database->wanted = false;
		database->run_at = DT_NOEND;
		database->rescan_from = DT_NOEND;
	}
	LWLockRelease(shared->lock);
	return oid;
}

/* Whether the extension is here, in the version of this library. */
static bool
extension_is_ready(void)
{
	const char *problem;

	look_begin();
	problem = database_problem();
	if (problem != NULL && OidIsValid(get_extension_oid("canopy_summit", true)))
		ereport(LOG, (errmsg("canopy_summit worker does not run in database \"%s\": %s",
							 get_database_name(MyDatabaseId), problem),
					  errhint("ALTER EXTENSION canopy_summit UPDATE, or restart the server "
							  "with the new library.")));
	look_end();
	return problem == NULL;
}

/* Begin an epoch: a number, and the lock that says it is alive. */
static void
worker_begin_epoch(Worker *worker)
{
	work_begin("beginning an epoch");
	worker->epoch = engine_next_key("epoch_seq");
	work_commit();
	epoch_lock(worker->epoch);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->workers[worker->slot].epoch = worker->epoch;
	LWLockRelease(shared->lock);
}

/* Take what enqueuers have announced since the last look. */
static void
worker_take_wakes(Worker *worker, TimestampTz now)
{
	WorkerSlot *slot = &shared->workers[worker->slot];
	TimestampTz from;
	bool webhooks;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	from = slot->rescan_from;
	slot->rescan_from = DT_NOEND;
	webhooks = slot->webhooks;
	slot->webhooks = false;
	if (slot->number >= setting_workers)
	{
		/* There may be fewer workers now: who is left must have the share of one that has gone. */
		slot->number = Min(slot->number, worker_number(slot->database));
		worker->scan_wanted |= slot->number < setting_workers;
	}
	LWLockRelease(shared->lock);
	if (webhooks)
		apply_want(now);
	if (from == DT_NOEND)
		return;
	worker->is_probe = false;
	worker->next_due = Min(worker->next_due, from);
	if (from == DT_NOBEGIN || worker->lanes == NIL)
		worker->scan_wanted = true;
	else if (from <= now)
		lanes_rescan(worker, from);
}

/*
 * When the database needs a worker again: what is due and was left, by a
 * hold or a lock that somebody had on its row, is looked at as if one were connected.
 */
static TimestampTz
worker_next_look(Worker *worker)
{
	TimestampTz next = Min(Min(worker->next_due, worker->next_lease), chores_next());
	List *servers = NIL;
	ListCell *cell;

	foreach(cell, worker->lanes)
		if (!((Lane *) lfirst(cell))->is_held)
			servers = lappend_oid(servers, ((Lane *) lfirst(cell))->server_oid);
	work_begin("looking for what is left behind");
	if (job_next_due(servers, DT_NOBEGIN) <= GetCurrentTimestamp())
		next = Min(next, worker->scan_at);
	work_commit();
	return next;
}

/* Leave for want of work, unless some was enqueued this very moment. */
static void
worker_leave_idle(Worker *worker)
{
	TimestampTz next = worker_next_look(worker);
	WorkerSlot *slot = &shared->workers[worker->slot];
	DatabaseSlot *database;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot->rescan_from != DT_NOEND)
	{
		LWLockRelease(shared->lock);
		return;
	}
	database = shared_database(MyDatabaseId, true);
	if (database != NULL)
		database->run_at = Min(database->run_at, next);
	slot->procno = -1;
	slot->end = WORKER_IDLE;
	LWLockRelease(shared->lock);
	proc_exit(0);
}

/* A probe that has found work is a worker like others: let those come as well. */
static void
worker_end_probe(Worker *worker)
{
	DatabaseSlot *slot;

	if (!worker->is_probe)
		return;
	worker->is_probe = false;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = shared_database(MyDatabaseId, true);
	if (slot != NULL)
		slot->wanted = true;
	LWLockRelease(shared->lock);
	wake_launcher();
}

/* Leave if there is nothing to do and nothing to wait for, or if others need the room. */
static void
worker_consider_leaving(Worker *worker, TimestampTz now)
{
	bool is_quiet = worker->in_flight == 0 && worker->concluded == NIL &&
					worker->token_requests == NIL && !app_request_is_pending();

	worker->is_leaving =
		shared->crowded && TimestampDifferenceExceeds(worker->started_at, now, TURN_LIMIT);
	if (is_quiet && worker->is_leaving && postponed_give_back(worker))
		worker_leave(worker, WORKER_TURNED);
	if (!is_quiet || worker->postponed != NIL || lanes_next(worker, now) != DT_NOEND ||
		worker->scan_wanted || worker->catalogs_changed ||
		chores_next() <= TimestampTzPlusMilliseconds(now, setting_worker_idle_timeout))
	{
		worker->idle_since = 0;
		worker_end_probe(worker);
		return;
	}
	if (worker->idle_since == 0)
	{
		worker->idle_since = now;
		pgstat_report_stat(true);
	}
	if (worker->is_probe || shared->crowded ||
		TimestampDifferenceExceeds(worker->idle_since, now, setting_worker_idle_timeout))
		worker_leave_idle(worker);
}

/* Whether something was enqueued since worker_take_wakes(): waiting for a lock takes the latch's news. */
static bool
worker_is_woken(const Worker *worker)
{
	bool woken;

	LWLockAcquire(shared->lock, LW_SHARED);
	woken = shared->workers[worker->slot].rescan_from != DT_NOEND;
	LWLockRelease(shared->lock);
	return woken;
}

/* Milliseconds until something may have to be done without a wake-up. */
static long
worker_timeout(Worker *worker, TimestampTz now)
{
	TimestampTz next = TimestampTzPlusMilliseconds(now, YIELD_INTERVAL);

	next = Min(next, worker->scan_at);
	next = Min(next, worker->next_due);
	next = Min(next, worker->next_lease);
	next = Min(next, lanes_next(worker, now));
	next = Min(next, worker->settle_at);
	if (worker->idle_since != 0)
		next = Min(next, TimestampTzPlusMilliseconds(worker->idle_since,
													 setting_worker_idle_timeout + 1));
	next = Min(next, chores_next());
	if (worker->catalogs_changed || worker->concluded != NIL)
		next = now;
	next = Max(next, worker->work_at);
	return next <= now ? 0 : TimestampDifferenceMilliseconds(now, next);
}

/* One turn: take what has ended, do what is due, and wait. */
static void
worker_turn(void *process)
{
	Worker *worker = process;
	TimestampTz now;

	MemoryContextReset(worker->turn);
	MemoryContextSwitchTo(worker->turn);
	send_collect(worker);
	flights_go_on(worker);
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		worker->scan_wanted = true;
	}
	now = GetCurrentTimestamp();
	worker_take_wakes(worker, now);
	if (now >= worker->yield_at)
	{
		if (database_is_wanted())
			worker_leave(worker, WORKER_YIELDED);
		worker->yield_at = TimestampTzPlusMilliseconds(now, YIELD_INTERVAL);
	}
	if (worker_has_work(worker, now))
		worker_work(worker, now);
	app_requests_serve(worker, now);
	if (worker->settle_at <= now)
		postponed_settle(worker, now);
	if (worker->work_at <= now)
		chores_run(now);
	now = GetCurrentTimestamp();
	/* Nobody else writes these. */
	shared->workers[worker->slot].in_flight = worker->in_flight;
	shared->workers[worker->slot].turned_at = now;
	worker_consider_leaving(worker, now);
	loop_wait(worker->loop, worker_is_woken(worker) ? 0 : worker_timeout(worker, now));
}

/* Keep what answers took for those that come next: the kernel would have to clear it anew for each turn. */
static void
keep_freed_memory(void)
{
#ifdef __GLIBC__
	(void) mallopt(M_TRIM_THRESHOLD, FREED_MOST);
	(void) mallopt(M_MMAP_THRESHOLD, CHUNK_MOST);
#endif
}

/* Become a worker: signals, database, settings of its session. */
static void
worker_start(void *process)
{
	Worker *worker = process;
	Oid database;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_terminate);
	pqsignal(SIGINT, work_cancel);
	BackgroundWorkerUnblockSignals();
	keep_freed_memory();
	database = worker_attach(worker);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	session_settings();
	pgstat_report_appname("canopy_summit worker");
	if (!extension_is_ready())
		worker_leave(worker, WORKER_ABSENT);
	worker_begin_epoch(worker);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_catalog_change, PointerGetDatum(worker));
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_catalog_change, PointerGetDatum(worker));
	CacheRegisterSyscacheCallback(AUTHOID, on_catalog_change, PointerGetDatum(worker));
	worker->context =
		AllocSetContextCreate(TopMemoryContext, "canopy_summit worker", ALLOCSET_DEFAULT_SIZES);
	worker->turn =
		AllocSetContextCreate(TopMemoryContext, "canopy_summit turn", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(worker->context);
	worker->loop = loop_create();
	worker->scan_wanted = true;
	worker->next_due = DT_NOBEGIN;
	worker->next_lease = DT_NOEND;
	worker->settle_at = DT_NOEND;
	worker->started_at = GetCurrentTimestamp();
}

/* Entry point of a worker; the argument is its slot in shared memory. */
void
canopy_summit_worker_main(Datum argument)
{
	static Worker worker;

	worker.slot = DatumGetInt32(argument);
	process_run(worker_start, worker_turn, &worker);
}
