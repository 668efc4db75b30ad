/*
 * backoff.c
 *	  How long to wait after failures: twice as long after each.
 *
 * Pure but for chance, which keeps those apart that failed together.
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "base/backoff.h"

#define DOUBLINGS_MAX 20 /* no number overflows */

/* The delay when there have been so many `times` before, in the unit of the others. */
int64
backoff_delay(int64 first, int64 longest, int times)
{
	return Min(first << Min(Max(times, 0), DOUBLINGS_MAX), longest);
}

/* A delay less up to this share of it, by chance. */
int64
backoff_spread(int64 delay, double share)
{
	return delay - (int64) (pg_prng_double(&pg_global_prng_state) * delay * share);
}
