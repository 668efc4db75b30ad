/*
 * apply.h
 *	  Applying what the inbox has stored.
 */
#ifndef CANOPY_SUMMIT_WORKER_APPLY_H
#define CANOPY_SUMMIT_WORKER_APPLY_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "worker/worker.h"

extern bool webhooks_are_stored(void);
extern void worker_apply(Worker *worker, TimestampTz now);

#endif /* CANOPY_SUMMIT_WORKER_APPLY_H */
