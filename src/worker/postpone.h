/*
 * postpone.h
 *	  Answers that wait for a lock before they can be settled.
 */
#ifndef CANOPY_SUMMIT_WORKER_POSTPONE_H
#define CANOPY_SUMMIT_WORKER_POSTPONE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "worker/lane.h"
#include "worker/worker.h"

extern void settle_each(Worker *worker, List *flights);
extern void postponed_settle(Worker *worker, TimestampTz now);
extern List *postponed_excess(Worker *worker, const Lane *lane);
extern bool postponed_give_back(Worker *worker);

#endif /* CANOPY_SUMMIT_WORKER_POSTPONE_H */
