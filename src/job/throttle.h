/*
 * throttle.h
 *	  How much may be sent to a server now: its rate, its Retry-After, and the
 *	  circuit breaker.
 */
#ifndef CANOPY_SUMMIT_JOB_THROTTLE_H
#define CANOPY_SUMMIT_JOB_THROTTLE_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef struct Throttle
{
	double rate;      /* requests a second; 0 = unlimited */
	double allowance; /* requests that may be sent at once */
	TimestampTz refilled_at;
	TimestampTz not_before; /* nothing is sent earlier: Retry-After, or the breaker is open */
	int failures;           /* in a row that say the server is out */
	int openings;           /* of the breaker since the last success */
	bool is_open;
	bool probing; /* one request is out to see whether the server is back */
} Throttle;

extern int throttle_room(Throttle *throttle, TimestampTz now, int wanted);
extern void throttle_take(Throttle *throttle, int count);
extern void throttle_give_back(Throttle *throttle);
extern void throttle_success(Throttle *throttle);
extern void throttle_outage(Throttle *throttle, TimestampTz now);
extern void throttle_wait(Throttle *throttle, TimestampTz now, long retry_after);
extern TimestampTz throttle_next(const Throttle *throttle, TimestampTz now);

#endif /* CANOPY_SUMMIT_JOB_THROTTLE_H */
