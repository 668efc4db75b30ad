/*
 * settle.h
 *	  The end of an attempt.
 */
#ifndef CANOPY_SUMMIT_WORKER_SETTLE_H
#define CANOPY_SUMMIT_WORKER_SETTLE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "job/retry.h"
#include "worker/flight.h"
#include "worker/worker.h"

extern void settle_conclude(Worker *worker, Flight *flight, RetryAction action);
extern List *settle_batch(Worker *worker, List *flights);
extern void settle_quarantine(Flight *flight, const ErrorData *error);
extern bool settle_may_repeat(const Flight *flight, int sqlstate);

#endif /* CANOPY_SUMMIT_WORKER_SETTLE_H */
