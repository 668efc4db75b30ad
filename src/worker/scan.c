/*
 * scan.c
 *	  Looking at everything, once in a while: what nobody announced, and what is old.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "utils/timestamp.h"

#include "credential/credential.h"
#include "engine/transaction.h"
#include "http/socket.h"
#include "job/job.h"
#include "job/promotion.h"
#include "job/reconcile.h"
#include "job/retention.h"
#include "process/shared.h"
#include "worker/apply.h"
#include "worker/lane.h"
#include "worker/postpone.h"
#include "worker/scan.h"
#include "worker/worker.h"

#define SCAN_INTERVAL (60 * 1000) /* ms between looks that no wake-up asked for */
#define SCAN_AGAIN    1000        /* ms until the next while retention has more to do */
#define HELD_INTERVAL (10 * 1000) /* ms between looks while a credential is refused */

/* Milliseconds between scans: other workers of the database may stop and let their leases run out. */
static int
scan_interval(void)
{
	return setting_workers > 1 ? Min(SCAN_INTERVAL, Max(setting_lease_margin, 1000))
							   : SCAN_INTERVAL;
}

/* Look at everything: lost claims, servers, holds, and when the next job is due. */
void
worker_scan(Worker *worker, TimestampTz now)
{
	if (!OidIsValid(get_extension_oid("canopy_summit", true)))
		worker_leave(worker, WORKER_ABSENT);
	if (worker->scan_at == 0)
		instance_notice_promotion();
	credential_forget_all();
	socket_sweep();
	(void) job_recover(worker->epoch, now, &worker->next_lease);
	reconcile_enqueue();
	worker->retain_wanted = true;
	lanes_read(worker);
	worker->scan_wanted = false;
	worker->webhooks_wanted |= webhooks_are_stored();
	worker->next_due = DT_NOBEGIN;
	worker->scan_at =
		TimestampTzPlusMilliseconds(now, lanes_hold_credential(worker) ? HELD_INTERVAL
																	   : scan_interval());
	worker->catalogs_changed = false;
}

/*
 * Let go what retention rules say, in a transaction of its own: somebody may have
 * locked what is old, or the rules, and this is the last that should keep others waiting.
 */
void
worker_retain(Worker *worker, TimestampTz now)
{
	worker->retain_wanted = false;
	PG_TRY();
	{
		work_begin("removing what is old");
		lock_patience(true);
		if (retention_run())
			worker->scan_at = Min(worker->scan_at, TimestampTzPlusMilliseconds(now, SCAN_AGAIN));
		work_commit_later();
	}
	PG_CATCH();
	{
		ErrorData *error = work_abort(worker->turn);

		ereport(LOG, (errmsg("could not remove what is old: %s", error->message)));
	}
	PG_END_TRY();
	lock_patience(false);
}
