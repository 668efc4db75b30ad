/*
 * epoch.h
 *	  The epochs of workers.
 */
#ifndef CANOPY_SUMMIT_JOB_EPOCH_H
#define CANOPY_SUMMIT_JOB_EPOCH_H

#include "postgres.h"

extern void epoch_lock(int64 epoch);
extern bool epoch_is_alive(int64 epoch);

#endif /* CANOPY_SUMMIT_JOB_EPOCH_H */
