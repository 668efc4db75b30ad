/*
 * throttle.c
 *	  The rate, the Retry-After and the circuit breaker of one server.
 *
 * Pure: time is an argument.  The breaker opens after a few failures in a row
 * that say the server is out, and then lets one request through at growing
 * intervals, so that an outage costs a handful of probes.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/backoff.h"
#include "job/throttle.h"

#define BREAKER_FAILURES 5             /* in a row open it */
#define BREAKER_FIRST    1000          /* ms it stays open the first time, then twice as long */
#define BREAKER_LONGEST  (60 * 1000)   /* ms */
#define BREAKER_SPREAD   0.25          /* of that, by chance */
#define BURST_SECONDS    0.05          /* of the rate that may be sent at once */
#define WAIT_LIMIT       (6 * 60 * 60) /* s: the longest Retry-After that is obeyed */

static double
throttle_burst(const Throttle *throttle)
{
	return Max(1.0, throttle->rate * BURST_SECONDS);
}

/* How many of `wanted` requests may be sent now. */
int
throttle_room(Throttle *throttle, TimestampTz now, int wanted)
{
	if (now < throttle->not_before || (throttle->is_open && throttle->probing))
		return 0;
	if (throttle->is_open)
		wanted = Min(wanted, 1);
	if (throttle->rate > 0)
	{
		double seconds = (now - throttle->refilled_at) / (double) USECS_PER_SEC;

		if (throttle->refilled_at == 0)
			throttle->allowance = throttle_burst(throttle);
		else if (seconds > 0)
			throttle->allowance =
				Min(throttle->allowance + seconds * throttle->rate, throttle_burst(throttle));
		throttle->refilled_at = now;
		wanted = Min(wanted, (int) throttle->allowance);
	}
	return wanted;
}

/* So many requests are being sent. */
void
throttle_take(Throttle *throttle, int count)
{
	if (throttle->rate > 0)
		throttle->allowance -= count;
	if (throttle->is_open && count > 0)
		throttle->probing = true;
}

/* A request was not sent after all. */
void
throttle_give_back(Throttle *throttle)
{
	throttle->allowance++;
	throttle->probing = false;
}

/* The server has answered. */
void
throttle_success(Throttle *throttle)
{
	throttle->failures = 0;
	throttle->openings = 0;
	throttle->is_open = false;
	throttle->probing = false;
}

/* A request failed in a way that says the server is out. */
void
throttle_outage(Throttle *throttle, TimestampTz now)
{
	int64 open_ms;

	throttle->failures++;
	if (throttle->is_open ? !throttle->probing : throttle->failures < BREAKER_FAILURES)
		return;
	open_ms = backoff_spread(backoff_delay(BREAKER_FIRST, BREAKER_LONGEST, throttle->openings++),
							 BREAKER_SPREAD);
	throttle->is_open = true;
	throttle->probing = false;
	throttle->not_before = Max(throttle->not_before, TimestampTzPlusMilliseconds(now, open_ms));
}

/* The server asked for a pause of so many seconds. */
void
throttle_wait(Throttle *throttle, TimestampTz now, long retry_after)
{
	int64 wait_ms = 1000 * (int64) Min(retry_after, WAIT_LIMIT);

	throttle->not_before = Max(throttle->not_before, TimestampTzPlusMilliseconds(now, wait_ms));
}

/* When throttle_room() may give more than it does now; `now` or earlier: at once. */
TimestampTz
throttle_next(const Throttle *throttle, TimestampTz now)
{
	if (now < throttle->not_before)
		return throttle->not_before;
	if (throttle->rate > 0 && throttle->allowance < 1)
		return now + (TimestampTz) ((1 - throttle->allowance) / throttle->rate * USECS_PER_SEC) + 1;
	return now;
}
