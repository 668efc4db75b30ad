/*
 * lane.h
 *	  The servers of a database as a worker sees them.
 */
#ifndef CANOPY_SUMMIT_WORKER_LANE_H
#define CANOPY_SUMMIT_WORKER_LANE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "http/loop.h"
#include "job/job.h"
#include "job/throttle.h"
#include "worker/worker.h"

/* A server as a worker sees it. */
typedef struct Lane
{
	Oid server_oid;
	char *server; /* its name; NULL = it is gone */
	Throttle throttle;
	ClaimCursor cursor;
	uint32 claims;
	bool may_have_due; /* there may be due jobs past the cursor */
	bool is_held;
	List *held_owners;   /* of Oid */
	int max_connections; /* of this worker */
	int timeout;         /* ms of one request */
	int in_flight;
	int landed;              /* answers of its that wait for their transaction */
	bool is_endpoint;        /* it is sent webhooks, and others go first */
	bool multiplexed;        /* its answers come by HTTP/2 */
	HttpPool *download_pool; /* of signed URLs, without credentials; NULL = none yet */
} Lane;

/* Jobs, and the bytes of their bodies. */
typedef struct Load
{
	int jobs;
	int64 bytes;
} Load;

extern Lane *lane_find(Worker *worker, Oid server_oid);
extern void lanes_read(Worker *worker);
extern bool lanes_hold_credential(const Worker *worker);
extern void lanes_rescan(Worker *worker, TimestampTz from);
extern bool lane_has_place(const Lane *lane);
extern int lane_room(const Worker *worker, Lane *lane, TimestampTz now, Load claimed);
extern TimestampTz lanes_next(const Worker *worker, TimestampTz now);

#endif /* CANOPY_SUMMIT_WORKER_LANE_H */
