/*
 * receiver_start.c
 *	  When the receiver runs: the launcher's part.
 *
 * As with workers, the postmaster never restarts it: how it ended decides when
 * the next may start.
 */
#include "worker.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "shared.h"
#include "utils/memutils.h"

static BackgroundWorkerHandle *handle = NULL; /* of the one that this launcher has started */

/* Start the receiver; false if no worker slot is free. */
static bool
receiver_start(void)
{
	BackgroundWorker worker = {0};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool started;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "canopy_summit", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "canopy_summit_receiver_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "canopy_summit receiver", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "canopy_summit receiver", BGW_MAXLEN);
	started = RegisterDynamicBackgroundWorker(&worker, &handle);
	if (!started)
		handle = NULL;
	MemoryContextSwitchTo(old);
	return started;
}

/* Whether the one that was started runs, or is about to. */
static bool
receiver_lives(void)
{
	pid_t pid;

	if (handle == NULL)
		return false;
	if (GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
		return true;
	pfree(handle);
	handle = NULL;
	return false;
}

/* Start the receiver if there shall be one and there is none.  Returns when to look again. */
TimestampTz
receiver_serve(TimestampTz now)
{
	ReceiverSlot *slot = &shared->receiver;
	TimestampTz not_before;
	bool is_there;

	LWLockAcquire(shared->lock, LW_SHARED);
	is_there = slot->pid != 0;
	not_before = slot->not_before;
	LWLockRelease(shared->lock);
	if (receiver_lives() || is_there || setting_receiver_port == 0)
		return DT_NOEND;
	if (now < not_before)
		return not_before;
	if (launcher_finds_database(setting_receiver_database) && receiver_start())
		return DT_NOEND;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot->failures++ == 0)
		ereport(LOG, (errmsg("canopy_summit receiver cannot start: there is no database \"%s\", "
							 "or no background worker left",
							 setting_receiver_database)));
	slot->not_before = shared_back_off(now, slot->failures);
	LWLockRelease(shared->lock);
	return slot->not_before;
}

/* Settings may be others now: what failed may not fail again. */
void
receiver_reload(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->receiver.not_before = DT_NOBEGIN;
	shared->receiver.failures = 0;
	LWLockRelease(shared->lock);
}
