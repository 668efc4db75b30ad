/*
 * drain.c
 *	  The transactions of a worker: scan, claim, settle, and what is sent after
 *	  them.
 *
 * Settling what has ended and claiming what there is room for share one short
 * transaction, so that a turn costs one commit.  If it fails, every flight is
 * settled apart from the others (postpone.c).
 */
#include "worker.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "shared.h"
#include "statement.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#define SCAN_INTERVAL   (60 * 1000) /* ms between looks that no wake-up asked for */
#define SCAN_AGAIN      1000        /* ms until the next while retention has more to do */
#define HELD_INTERVAL   (10 * 1000) /* ms between looks while a credential is refused */
#define PATIENCE        (10 * 1000) /* ms after which a job of low priority gets a turn among others */
#define PATIENCE_CLAIMS 8           /* every so many claims look for one */
#define WEBHOOK_BATCH   200         /* webhooks that are applied together */
#define WEBHOOK_PAUSE   50          /* ms between batches that are not full */
#define WEBHOOK_AGAIN   1000 /* ms until webhooks that somebody had locked are looked at again */
#define WORK_PAUSE      1000 /* ms before claims that failed are tried again */

static Engine engine;
static Statement webhooks_wait = {
	.sql = "SELECT FROM canopy_summit.webhook WHERE state = 'stored' LIMIT 1"};

/*
 * SIGINT: PostgreSQL sends it for lock_timeout; nobody else cancels what a
 * background process does, nor its wait for a standby, after which a commit would
 * look as if it had been confirmed.
 */
void
work_cancel(SIGNAL_ARGS)
{
	if (get_timeout_indicator(LOCK_TIMEOUT, false))
		StatementCancelHandler(postgres_signal_arg);
}

/* Begin a short transaction, in which the engine's statements can run. */
void
work_begin(const char *activity)
{
	pgstat_report_activity(STATE_RUNNING, activity);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	engine_begin(&engine);
}

/* Commit as synchronous_commit says. */
static void
work_end(void)
{
	engine_end(&engine);
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Commit without waiting for the disk, or for anybody else. */
static void
work_commit_later(void)
{
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	work_end();
}

/*
 * Commit, and be sure that it is on disk, and where else the server's
 * synchronous_commit and standbys want it.  A process that is told to end does
 * not wait for a standby any longer, and PostgreSQL returns as if it had come:
 * then nobody may be told so, and the process ends here.
 */
void
work_commit(void)
{
	ForceSyncCommit();
	work_end();
	if (ProcDiePending) /* nothing else may be raised: the commit stands */
		CHECK_FOR_INTERRUPTS();
}

/* Undo all of it. */
void
work_rollback(void)
{
	engine_end(&engine);
	AbortCurrentTransaction();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Abort after an error, and take the error, in a memory context that becomes the current one. */
ErrorData *
work_abort(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	HOLD_INTERRUPTS();
	AbortCurrentTransaction();
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(context);
	pgstat_report_activity(STATE_IDLE, NULL);
	return error;
}

/* Milliseconds between scans: other workers of the database may stop and let their leases run out. */
static int
scan_interval(void)
{
	return setting_workers > 1 ? Min(SCAN_INTERVAL, Max(setting_lease_margin, 1000))
							   : SCAN_INTERVAL;
}

/* Look at everything: lost claims, servers, holds, and when the next job is due. */
static void
worker_scan(Worker *worker, TimestampTz now)
{
	if (!OidIsValid(get_extension_oid("canopy_summit", true)))
		worker_leave(worker, WORKER_ABSENT);
	if (worker->scan_at == 0)
		instance_notice_promotion();
	credential_forget_all();
	http_sweep_sockets();
	(void) job_recover(worker->epoch, now, &worker->next_lease);
	upkeep_reconcile();
	worker->retain_wanted = true;
	lanes_read(worker);
	worker->scan_wanted = false;
	worker->webhooks_wanted |= statement_run(&webhooks_wait, NULL, NULL) > 0;
	worker->next_due = DT_NOBEGIN;
	worker->scan_at =
		TimestampTzPlusMilliseconds(now, lanes_hold_credential(worker) ? HELD_INTERVAL
																	   : scan_interval());
	worker->catalogs_changed = false;
}

/* Let the cursor of a lane go on behind the claimed jobs. */
static void
cursor_advance(ClaimCursor *cursor, const Job *job)
{
	int p = job->priority;

	if (job->run_at < cursor->run_at[p] ||
		(job->run_at == cursor->run_at[p] && job->job_id <= cursor->job_id[p]))
		return;
	cursor->run_at[p] = job->run_at;
	cursor->job_id[p] = job->job_id;
}

/* Claim what a lane has room for; returns the jobs. */
static List *
lane_claim(Worker *worker, Lane *lane, TimestampTz now, Load *claimed)
{
	int room = lane_room(worker, lane, now, *claimed);
	ClaimOrder order = {.server_oid = lane->server_oid,
						.cursor = &lane->cursor,
						.held_owners = lane->held_owners,
						.excess = postponed_excess(worker, lane),
						.count = room,
						.bytes = BODIES_MAX - worker->bytes - claimed->bytes,
						.epoch = worker->epoch,
						.now = now,
						.due = now};
	List *jobs = NIL;
	ListCell *cell;

	if (room == 0)
		return NIL;
	order.lease = TimestampTzPlusMilliseconds(now, (int64) lane->timeout + setting_lease_margin);
	if (++lane->claims % PATIENCE_CLAIMS == 0)
	{
		/* What has waited for long gets a turn, however many of a higher priority come. */
		order.last_first = true;
		order.due = TimestampTzPlusMilliseconds(now, -PATIENCE);
		jobs = job_claim(&order, worker->turn);
		order.last_first = false;
		order.due = now;
	}
	lane->may_have_due = jobs != NIL; /* those were not all */
	if (jobs == NIL)
		jobs = job_claim(&order, worker->turn);
	(void) job_cancel_duplicates(jobs);
	AcceptInvalidationMessages(); /* of what their transactions have changed besides */
	foreach(cell, jobs)
	{
		Job *job = lfirst(cell);

		cursor_advance(&lane->cursor, job);
		credential_read(credential_find(job->server_oid, job->owner_oid, job->server, job->owner),
						now);
		claimed->jobs++;
		claimed->bytes += job_bytes(job);
	}
	lane->may_have_due |= list_length(jobs) == room || worker->bytes + claimed->bytes > BODIES_MAX;
	return jobs;
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
		if (upkeep_retain())
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

/* A claimed job and its lane, until the claim has been committed. */
typedef struct Claim
{
	Lane *lane;
	Job *job;
} Claim;

/* Claim for every lane; returns a List of Claim *, which outlives the transaction. */
static List *
worker_claim(Worker *worker, TimestampTz now)
{
	List *claims = NIL;
	List *servers = NIL;
	Load claimed = {0};
	ListCell *cell;

	if (worker->is_leaving)
		return NIL;
	foreach(cell, worker->lanes)
	{
		Lane *lane = lfirst(cell);
		ListCell *job;

		lane->may_have_due |= worker->next_due <= now;
		foreach(job, lane_claim(worker, lane, now, &claimed))
		{
			MemoryContext old = MemoryContextSwitchTo(worker->turn);
			Claim *claim = palloc(sizeof(Claim));

			claim->lane = lane;
			claim->job = lfirst(job);
			claims = lappend(claims, claim);
			MemoryContextSwitchTo(old);
		}
		servers = lappend_oid(servers, lane->server_oid);
	}
	if (worker->next_due <= now)
		worker->next_due = job_next_due(servers, now);
	return claims;
}

/* Count what came of a flight. */
static void
flight_count(Worker *worker, const Flight *flight)
{
	const Settlement *settlement = &flight->settlement;
	ServerCounters *counters;
	int bucket = 0;

	if (settlement->response != NULL)
		while (bucket < SHARED_LATENCIES - 1 &&
			   settlement->response->times.total > (INT64CONST(1000) << bucket))
			bucket++;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->workers[worker->slot].settled++;
	counters = shared_server(flight->job->server);
	if (counters != NULL)
	{
		counters->ended[settlement->state]++;
		counters->breaker_until =
			flight->lane->throttle.is_open ? flight->lane->throttle.not_before : DT_NOBEGIN;
		if (settlement->response != NULL)
		{
			counters->sent++;
			counters->latency[bucket]++;
		}
	}
	LWLockRelease(shared->lock);
}

/* Free settled flights; what they held up may be claimed now. */
void
flights_free(Worker *worker, List *flights)
{
	ListCell *cell;

	foreach(cell, flights)
	{
		Flight *flight = lfirst(cell);
		Settlement *settlement = &flight->settlement;

		if (settlement->state == JOB_QUEUED)
		{
			if (settlement->run_at <= GetCurrentTimestamp())
				lanes_rescan(worker, settlement->run_at);
			else
				worker->next_due = Min(worker->next_due, settlement->run_at);
		}
		/* A look-up may have ended the doubt that held an ordering key. */
		if (flight->job->has_ordering_key || flight->job->reconciles != 0)
			lanes_rescan(worker, DT_NOBEGIN);
		if (settlement->state == JOB_IN_DOUBT || flight->holds_credential)
			worker->scan_wanted = true;
		flight_count(worker, flight);
		worker->bytes -= job_bytes(flight->job);
		MemoryContextDelete(flight->context);
	}
	list_free(flights);
}

/* Send what has been claimed; the claims are durable. */
static void
claims_send(Worker *worker, List *claims)
{
	ListCell *cell;

	foreach(cell, claims)
	{
		Claim *claim = lfirst(cell);

		throttle_take(&claim->lane->throttle, 1);
		MemoryContextSetParent(GetMemoryChunkContext(claim->job), worker->context);
		flight_start(worker, flight_create(worker, claim->lane, claim->job));
		shared->workers[worker->slot].sent++;
	}
}

/* Settle what has ended, without waiting long for anybody. */
static void
worker_settle(Worker *worker, List *flights)
{
	if (flights == NIL)
		return;
	lock_patience(true);
	settle_batch(worker, flights);
	lock_patience(false);
}

/* Settle and claim in one transaction, then send. */
void
worker_work(Worker *worker, TimestampTz now)
{
	List *settled = worker->concluded;
	List *volatile claims = NIL;
	ErrorData *volatile error = NULL;
	volatile bool is_settling = true;

	worker->concluded = NIL;
	PG_TRY();
	{
		work_begin("settling jobs");
		worker_settle(worker, settled);
		is_settling = false;
		pgstat_report_activity(STATE_RUNNING, "claiming jobs");
		if (worker->scan_wanted || worker->catalogs_changed || worker->scan_at <= now ||
			worker->next_lease <= now)
			worker_scan(worker, now);
		claims = worker_claim(worker, now);
		work_commit();
	}
	PG_CATCH();
	{
		error = work_abort(worker->turn);
	}
	PG_END_TRY();
	if (error == NULL)
	{
		flights_free(worker, settled);
		claims_send(worker, claims);
		return;
	}
	/* With nothing to settle and nothing on the wire there is nothing to lose: start anew, later. */
	if (settled == NIL && worker->postponed == NIL && worker->in_flight == 0)
		ThrowErrorData(error);
	if (settled != NIL)
	{
		settle_each(worker, settled);
		list_free(settled);
		if (is_settling)
			return; /* claims come in the next turn */
	}
	ereport(LOG, (errmsg("could not claim jobs: %s", error->message)));
	worker->scan_wanted = true;
	worker->work_at = TimestampTzPlusMilliseconds(now, WORK_PAUSE);
}

/* Apply a batch, inside a transaction.  A round goes through all that is stored, and what it leaves gets another. */
static void
apply_batch(Worker *worker, TimestampTz now)
{
	static Statement apply = {
		2,
		{INT4OID, INT8OID},
		"SELECT is_full, last_id FROM canopy_summit.apply_webhook_batch($1, $2)"};
	Datum arguments[2] = {Int32GetDatum(WEBHOOK_BATCH), Int64GetDatum(worker->applied_id)};
	bool isnull;

	(void) statement_run(&apply, arguments, NULL);
	worker->webhooks_wanted = DatumGetBool(statement_column(1, &isnull));
	worker->applied_id = worker->webhooks_wanted ? DatumGetInt64(statement_column(2, &isnull)) : 0;
	if (worker->webhooks_wanted)
		return;
	worker->apply_at = TimestampTzPlusMilliseconds(now, WEBHOOK_PAUSE);
	worker->apply_left_at = statement_run(&webhooks_wait, NULL, NULL) > 0
								? TimestampTzPlusMilliseconds(now, WEBHOOK_AGAIN)
								: DT_NOEND;
}

/*
 * Apply a batch of the webhooks that are stored.  The commit need not be waited
 * for: what is lost with it is stored still, and applied again.
 */
void
worker_apply(Worker *worker, TimestampTz now)
{
	if (worker->work_at > now)
		return;
	PG_TRY();
	{
		work_begin("applying webhooks");
		apply_batch(worker, now);
		work_commit_later();
	}
	PG_CATCH();
	{
		ErrorData *error = work_abort(worker->turn);

		ereport(LOG, (errmsg("could not apply webhooks: %s", error->message)));
		worker->webhooks_wanted = true;
		worker->applied_id = 0;
		worker->apply_at = TimestampTzPlusMilliseconds(now, WEBHOOK_AGAIN);
	}
	PG_END_TRY();
}

/* Whether a transaction would find something to do. */
bool
worker_has_work(Worker *worker, TimestampTz now)
{
	ListCell *cell;

	if (worker->work_at > now)
		return false;
	if (worker->concluded != NIL || worker->scan_wanted || worker->catalogs_changed ||
		worker->scan_at <= now || worker->next_due <= now || worker->next_lease <= now)
		return true;
	foreach(cell, worker->lanes)
		if (lane_room(worker, lfirst(cell), now, (Load){0}) > 0)
			return !worker->is_leaving;
	return false;
}
