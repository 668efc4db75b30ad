/*
 * backoff.h
 *	  How long to wait after failures: twice as long after each.
 */
#ifndef CANOPY_SUMMIT_BASE_BACKOFF_H
#define CANOPY_SUMMIT_BASE_BACKOFF_H

#include "postgres.h"

extern int64 backoff_delay(int64 first, int64 longest, int times);
extern int64 backoff_spread(int64 delay, double share);

#endif /* CANOPY_SUMMIT_BASE_BACKOFF_H */
