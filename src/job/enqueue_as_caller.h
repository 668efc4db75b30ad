/*
 * enqueue_as_caller.h
 *	  A job that the caller of a function enqueues.
 */
#ifndef CANOPY_SUMMIT_JOB_ENQUEUE_AS_CALLER_H
#define CANOPY_SUMMIT_JOB_ENQUEUE_AS_CALLER_H

#include "postgres.h"

#include "engine/values.h"

extern int64 enqueue_as_caller(Values *values);

#endif /* CANOPY_SUMMIT_JOB_ENQUEUE_AS_CALLER_H */
