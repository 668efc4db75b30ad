/*
 * worker.c
 *	  What the parts of a worker share.
 */
#include "postgres.h"

#include "storage/ipc.h"
#include "utils/guc.h"

#include "process/shared.h"
#include "worker/worker.h"

int setting_max_in_flight;
int setting_claim_batch;
int setting_worker_idle_timeout; /* ms */
int setting_lease_margin;        /* ms */

/* Note why the worker is about to end. */
void
worker_leave(Worker *worker, WorkerEnd end)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->workers[worker->slot].end = end;
	LWLockRelease(shared->lock);
	proc_exit(0);
}

/* How much a worker does at once, and for how long it stays. */
void
worker_settings(void)
{
	DefineCustomIntVariable(
		"canopy_summit.max_in_flight",
		"Most requests that one worker has on the wire, answers not stored yet among them.", NULL,
		&setting_max_in_flight, 128, 1, 1000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.claim_batch", "Most jobs that are claimed at once.",
							NULL, &setting_claim_batch, 256, 1, 1000, PGC_SIGHUP, 0, NULL, NULL,
							NULL);
	DefineCustomIntVariable("canopy_summit.worker_idle_timeout",
							"Time without work after which a worker disconnects.", NULL,
							&setting_worker_idle_timeout, 60 * 1000, 100, 24 * 60 * 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.lease_margin",
							"Time beyond a request's own after which its claim is taken over.",
							NULL, &setting_lease_margin, 30 * 1000, 0, 60 * 60 * 1000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
}
