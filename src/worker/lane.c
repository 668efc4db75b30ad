/*
 * lane.c
 *	  The servers of a database as a worker sees them: their limits, their
 *	  holds, and how far their queue has been claimed.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "engine/subtransaction.h"
#include "job/job.h"
#include "job/throttle.h"
#include "process/shared.h"
#include "server/connection.h"
#include "worker/hold.h"
#include "worker/lane.h"
#include "worker/worker.h"

/* Let every queued job with this run_at or a later one be claimed. */
static void
cursor_reset(ClaimCursor *cursor, TimestampTz from)
{
	for (int i = 0; i < JOB_PRIORITIES; i++)
	{
		if (cursor->run_at[i] < from)
			continue;
		cursor->run_at[i] = from;
		cursor->job_id[i] = 0;
	}
}

/* Jobs with this run_at or a later one have come to the queue: look for them. */
void
lanes_rescan(Worker *worker, TimestampTz from)
{
	ListCell *cell;

	foreach(cell, worker->lanes)
	{
		Lane *lane = lfirst(cell);

		cursor_reset(&lane->cursor, from);
		lane->may_have_due = true;
	}
}

/* The lane of a server, which is a new one if it has none. */
Lane *
lane_find(Worker *worker, Oid server_oid)
{
	MemoryContext old;
	ListCell *cell;
	Lane *lane;

	foreach(cell, worker->lanes)
		if (((Lane *) lfirst(cell))->server_oid == server_oid)
			return lfirst(cell);
	old = MemoryContextSwitchTo(worker->context);
	lane = palloc0(sizeof(Lane));
	lane->server_oid = server_oid;
	worker->lanes = lappend(worker->lanes, lane);
	MemoryContextSwitchTo(old);
	return lane;
}

/* Give a lane the name that its server has now. */
static void
lane_rename(Worker *worker, Lane *lane, const char *name)
{
	if (lane->server != NULL && name != NULL && strcmp(lane->server, name) == 0)
		return;
	if (lane->server != NULL)
		pfree(lane->server);
	lane->server = name ? MemoryContextStrdup(worker->context, name) : NULL;
}

/* What this worker has of the connections that all workers of the database share; may be none. */
static int
connections_share(const Worker *worker, int connections)
{
	int number = shared->workers[worker->slot].number;

	if (number >= setting_workers)
		return 0;
	return connections / setting_workers + (number < connections % setting_workers ? 1 : 0);
}

/* A lane whose limits are read. */
typedef struct LaneOf
{
	const Worker *worker;
	Lane *lane;
} LaneOf;

static void
lane_take_limits(void *argument)
{
	const Worker *worker = ((LaneOf *) argument)->worker;
	Lane *lane = ((LaneOf *) argument)->lane;
	Connection *connection = connection_open_oid(lane->server_oid, lane->server);

	lane->max_connections = connections_share(worker, connection->max_connections);
	lane->timeout = connection->timeout;
	lane->is_endpoint = connection->provider == PROVIDER_ENDPOINT;
	lane->throttle.rate = connection->requests_per_second / setting_workers;
}

/* Take the limits of a server from its options; a server without usable ones gets defaults. */
static void
lane_read_limits(const Worker *worker, Lane *lane)
{
	LaneOf lane_of = {worker, lane};

	/* Jobs of a server that is gone only fail, which needs no connection. */
	lane->max_connections = lane->server ? 1 : setting_max_in_flight;
	lane->timeout = setting_http_timeout;
	lane->throttle.rate = 0;
	/* Limits hold for every role; nobody's right to the server matters here. */
	if (lane->server != NULL)
		(void) subtransaction_run(BOOTSTRAP_SUPERUSERID, lane_take_limits, &lane_of,
								  CurrentMemoryContext);
}

/* Take the holds from their table, but end those of credentials that have changed since. */
static void
lanes_read_holds(Worker *worker)
{
	ListCell *cell;

	foreach(cell, worker->lanes)
	{
		Lane *lane = lfirst(cell);

		lane->is_held = false;
		list_free(lane->held_owners);
		lane->held_owners = NIL;
	}
	foreach(cell, holds_read())
	{
		Hold *hold = lfirst(cell);
		Lane *lane = lane_find(worker, hold->server_oid);
		MemoryContext old;

		if (!OidIsValid(hold->owner_oid))
			lane->is_held = true;
		else if (!hold_end_if_over(hold))
		{
			old = MemoryContextSwitchTo(worker->context);
			lane->held_owners = lappend_oid(lane->held_owners, hold->owner_oid);
			MemoryContextSwitchTo(old);
		}
	}
}

/* Read servers, limits and holds anew, and let every queued job be claimed.  Inside engine_begin(). */
void
lanes_read(Worker *worker)
{
	List *servers = job_servers();
	ListCell *cell;

	foreach(cell, servers)
	{
		JobServer *server = lfirst(cell);
		Lane *lane = lane_find(worker, server->server_oid);

		lane_rename(worker, lane, server->server);
		lane_read_limits(worker, lane);
	}
	lanes_read_holds(worker);
	lanes_rescan(worker, DT_NOBEGIN);
}

/* Whether the jobs of some credential wait because it was refused. */
bool
lanes_hold_credential(const Worker *worker)
{
	ListCell *cell;

	foreach(cell, worker->lanes)
		if (((Lane *) lfirst(cell))->held_owners != NIL)
			return true;
	return false;
}

/* Whether a claimed job may be sent now; one goes in any case, as limits may have sunk since. */
bool
lane_has_place(const Lane *lane)
{
	return (lane->multiplexed && !lane->is_endpoint) ||
		   lane->in_flight < Max(lane->max_connections, 1);
}

/*
 * How many more requests may be in flight.  Answers that wait for their transaction count:
 * they come faster than they are stored, and would fill the memory, and outlive their claims.
 */
static int
worker_places(const Worker *worker)
{
	return setting_max_in_flight - worker->in_flight - list_length(worker->concluded);
}

/*
 * How many more requests of a lane may be in flight.  Endpoints are anybody's, and
 * however many of them do not answer, half of the places are not theirs.
 */
static int
lane_places(const Worker *worker, const Lane *lane)
{
	int places = worker_places(worker);
	int of_endpoints = Max(setting_max_in_flight / 2, 1);
	ListCell *cell;

	if (!lane->multiplexed || lane->is_endpoint)
		places = Min(places, lane->max_connections - lane->in_flight - lane->landed);
	if (!lane->is_endpoint)
		return places;
	foreach(cell, worker->lanes)
		if (((Lane *) lfirst(cell))->is_endpoint)
			of_endpoints -= ((Lane *) lfirst(cell))->in_flight;
	return Min(places, of_endpoints);
}

/* How many requests may be started now, when so much has been claimed for other lanes already. */
int
lane_room(const Worker *worker, Lane *lane, TimestampTz now, Load claimed)
{
	int others = lane->is_endpoint ? claimed.jobs : 0;
	int room = worker_places(worker) - claimed.jobs;

	if (lane->is_held || !lane->may_have_due || worker->bytes + claimed.bytes > BODIES_MAX)
		return 0;
	room = Min(Min(room, lane_places(worker, lane) - others), setting_claim_batch);
	return room <= 0 ? 0 : throttle_room(&lane->throttle, now, room);
}

/* When a lane that has due jobs may send the next. */
TimestampTz
lanes_next(const Worker *worker, TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	ListCell *cell;

	foreach(cell, worker->lanes)
	{
		Lane *lane = lfirst(cell);

		if (lane->may_have_due && !lane->is_held && worker->bytes <= BODIES_MAX &&
			lane_places(worker, lane) > 0 && !(lane->throttle.is_open && lane->throttle.probing))
			next = Min(next, throttle_next(&lane->throttle, now));
	}
	return next;
}
