/*
 * scan.c
 *	  Looking at everything, once in a while: what nobody announced.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "utils/timestamp.h"

#include "credential/credential.h"
#include "http/socket.h"
#include "job/billable.h"
#include "job/job.h"
#include "job/promotion.h"
#include "process/chore.h"
#include "process/shared.h"
#include "worker/app_token.h"
#include "worker/lane.h"
#include "worker/scan.h"
#include "worker/worker.h"

#define SCAN_INTERVAL (60 * 1000) /* ms between looks that no wake-up asked for */
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
	app_grants_recover(worker->epoch);
	billable_bring_forward(now);
	lanes_read(worker);
	worker->scan_wanted = false;
	chores_want_at_scan(now);
	worker->next_due = DT_NOBEGIN;
	worker->scan_at =
		TimestampTzPlusMilliseconds(now, lanes_hold_credential(worker) ? HELD_INTERVAL
																	   : scan_interval());
}
