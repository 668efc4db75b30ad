/*
 * worker.h
 *	  A worker: what its parts share.
 */
#ifndef CANOPY_SUMMIT_WORKER_WORKER_H
#define CANOPY_SUMMIT_WORKER_WORKER_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "http/loop.h"
#include "process/shared.h"

/* Flights in a step of their handlers beside the requests that a server may have at once; more wait in their places. */
#define INSPECTED_MAX 32

/*
 * Bytes of parameters, bodies and answers that a worker has in its memory, roughly at
 * most; it takes a few times as much while they are sent and stored.
 */
#define BODIES_MAX (64 * 1024 * 1024)

extern int setting_max_in_flight;
extern int setting_claim_batch;
extern int setting_worker_idle_timeout; /* ms */
extern int setting_lease_margin;        /* ms */

typedef struct Worker
{
	int slot;
	int64 epoch;
	bool is_probe;
	HttpLoop *loop;
	MemoryContext context; /* of lanes */
	MemoryContext turn;    /* reset every turn */
	List *lanes;           /* of Lane * */
	List *token_requests;  /* of TokenRequest * */
	List *prepared;        /* of Flight *, to be sent once their servers have a place for them */
	List *concluded;       /* of Flight *, to be settled */
	List *postponed;       /* of Flight *, whose settling waits for a lock */
	bool postponed_full;   /* so many that some jobs are not claimed */
	int in_flight;         /* claimed and not concluded */
	int inspected; /* of these, those that their handlers prepare or inspect: their servers' places are free */
	int64 bytes; /* of bodies of jobs that are not settled, and of answers that are not postponed */
	bool scan_wanted;
	TimestampTz scan_at;
	TimestampTz next_due;   /* of the jobs that are not due yet; DT_NOEND = none */
	TimestampTz next_lease; /* when a claim of another worker runs out */
	TimestampTz settle_at;  /* a settle that failed is tried again then */
	TimestampTz work_at;    /* no transaction earlier: the last one failed */
	TimestampTz yield_at;   /* look then for somebody who waits for the database */
	bool catalogs_changed;  /* servers, mappings or roles may be others now */
	bool is_leaving;        /* claim nothing more: other databases wait for a worker slot */
	TimestampTz idle_since;
	TimestampTz started_at;
} Worker;

extern void worker_settings(void);
extern void worker_leave(Worker *worker, WorkerEnd end);

#endif /* CANOPY_SUMMIT_WORKER_WORKER_H */
