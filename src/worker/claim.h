/*
 * claim.h
 *	  Taking jobs, and sending them.
 */
#ifndef CANOPY_SUMMIT_WORKER_CLAIM_H
#define CANOPY_SUMMIT_WORKER_CLAIM_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "worker/worker.h"

extern List *worker_claim(Worker *worker, List *settlements, TimestampTz now);
extern void claims_send(Worker *worker, List *claims);

#endif /* CANOPY_SUMMIT_WORKER_CLAIM_H */
