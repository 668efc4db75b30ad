/*
 * scan.h
 *	  Looking at everything, once in a while.
 */
#ifndef CANOPY_SUMMIT_WORKER_SCAN_H
#define CANOPY_SUMMIT_WORKER_SCAN_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "worker/worker.h"

extern void worker_scan(Worker *worker, TimestampTz now);

#endif /* CANOPY_SUMMIT_WORKER_SCAN_H */
