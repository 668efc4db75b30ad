/*
 * drain.h
 *	  The transactions of a worker.
 */
#ifndef CANOPY_SUMMIT_WORKER_DRAIN_H
#define CANOPY_SUMMIT_WORKER_DRAIN_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "worker/worker.h"

extern void flights_free(Worker *worker, List *flights);
extern bool worker_has_work(Worker *worker, TimestampTz now);
extern void worker_work(Worker *worker, TimestampTz now);

#endif /* CANOPY_SUMMIT_WORKER_DRAIN_H */
