/*
 * clock.h
 *	  A clock that nobody sets.
 */
#ifndef CANOPY_SUMMIT_BASE_CLOCK_H
#define CANOPY_SUMMIT_BASE_CLOCK_H

#include "postgres.h"

#include "portability/instr_time.h"

/* Milliseconds of a clock that nobody sets. */
static inline int64
monotonic_now(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

#endif /* CANOPY_SUMMIT_BASE_CLOCK_H */
