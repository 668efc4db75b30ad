/*
 * receiver_launch.c
 *	  When the receiver runs: the launcher's part.
 *
 * As with workers, the postmaster never restarts it: how it ended decides when
 * the next may start.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/timestamp.h"

#include "process/database_list.h"
#include "process/process.h"
#include "process/receiver_launch.h"
#include "process/shared.h"

int setting_receiver_port; /* 0 = no receiver */

static BackgroundWorkerHandle *handle = NULL; /* of the one that this launcher has started */

/* Start the receiver; false if no worker slot is free. */
static bool
receiver_start(void)
{
	BackgroundWorker worker = process_describe("receiver", BGW_NEVER_RESTART);

	handle = process_start(&worker);
	return handle != NULL;
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
	if (database_find(setting_receiver_database) && receiver_start())
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

/* Whether there is a receiver. */
void
receiver_launch_settings(void)
{
	DefineCustomIntVariable("canopy_summit.receiver_port",
							"Port on which webhooks are received; 0: none are.", NULL,
							&setting_receiver_port, 0, 0, 65535, PGC_SIGHUP, 0, NULL, NULL, NULL);
}
