/*
 * claim.c
 *	  Taking jobs: so many as there is room for, of each lane, and sending them once
 *	  the claim is durable.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "credential/credential.h"
#include "credential/pull_jwt.h"
#include "job/billable.h"
#include "job/file.h"
#include "job/job.h"
#include "job/throttle.h"
#include "process/shared.h"
#include "worker/claim.h"
#include "worker/flight.h"
#include "worker/lane.h"
#include "worker/postpone.h"
#include "worker/worker.h"

#define PATIENCE        (10 * 1000) /* ms after which a job of low priority gets a turn among others */
#define PATIENCE_CLAIMS 8           /* every so many claims look for one */

/* Let the cursor of a lane go on after the claimed jobs. */
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

/* Read what a claimed job is sent with, and whether it costs then. */
static void
claim_prepare(Job *job, TimestampTz now)
{
	Credential *credential =
		credential_find(job->server_oid, job->owner_oid, job->server, job->owner);
	MemoryContext old;

	credential_read(credential, now);
	if (job->operation == NULL)
		return;
	job->costs = job->operation->flags & OPERATION_BILLABLE && credential->connection != NULL;
	old = MemoryContextSwitchTo(GetMemoryChunkContext(job));
	if (job->operation->auth == OPERATION_AUTH_PULL_JWT)
		job->params = pull_jwt_add(job->server_oid, job->params);
	if (operation_takes_files(job->operation))
		job->files = job_files_read(job->job_id);
	MemoryContextSwitchTo(old);
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
		/* What has waited for long gets a turn, however many of other priorities come: each is first, the last one first. */
		order.first_priority =
			JOB_PRIORITIES - 1 - (lane->claims / PATIENCE_CLAIMS - 1) % JOB_PRIORITIES;
		order.due = TimestampTzPlusMilliseconds(now, -PATIENCE);
		jobs = job_claim(&order, worker->turn);
		order.first_priority = 0;
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
		claim_prepare(job, now);
		claimed->jobs++;
		claimed->bytes += job_bytes(job);
	}
	lane->may_have_due |= list_length(jobs) == room || worker->bytes + claimed->bytes > BODIES_MAX;
	return jobs;
}

/* A claimed job and its lane, until the claim has been committed. */
typedef struct Claim
{
	Lane *lane;
	Job *job;
} Claim;

/* Take those out of claims that are not claimed any more, since so many billable ones were sent today. */
static List *
claims_count(Worker *worker, List *claims, List *jobs, List *settlements)
{
	ListCell *excess;
	ListCell *cell;

	foreach(excess, billable_count(jobs, settlements))
		foreach(cell, claims)
			if (((Claim *) lfirst(cell))->job == lfirst(excess))
			{
				claims = foreach_delete_current(claims, cell);
				worker->next_due = DT_NOBEGIN; /* it may be the next one */
			}
	return claims;
}

/*
 * Claim for every lane, after these settlements of the same transaction; returns a List of
 * Claim *, which outlives it.
 */
List *
worker_claim(Worker *worker, List *settlements, TimestampTz now)
{
	List *claims = NIL;
	List *jobs = NIL;
	List *servers = NIL;
	Load claimed = {0};
	ListCell *cell;

	if (worker->is_leaving)
	{
		(void) billable_count(NIL, settlements);
		return NIL;
	}
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
			jobs = lappend(jobs, claim->job);
		}
		servers = lappend_oid(servers, lane->server_oid);
	}
	claims = claims_count(worker, claims, jobs, settlements);
	if (worker->next_due <= now)
		worker->next_due = job_next_due(servers, now);
	return claims;
}

/* Send what has been claimed; the claims are durable. */
void
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
	flights_go_on(worker);
}
