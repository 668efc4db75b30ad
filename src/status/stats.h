/*
 * stats.h
 *	  What the views for operating show of shared memory.
 */
#ifndef CANOPY_SUMMIT_STATUS_STATS_H
#define CANOPY_SUMMIT_STATUS_STATS_H

#include "postgres.h"

#include "process/shared.h"

extern const char *receiver_problem(const ReceiverSlot *receiver);

#endif /* CANOPY_SUMMIT_STATUS_STATS_H */
