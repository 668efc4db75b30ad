/*
 * retry.h
 *	  What to do with a job after an attempt.
 */
#ifndef CANOPY_SUMMIT_JOB_RETRY_H
#define CANOPY_SUMMIT_JOB_RETRY_H

#include "postgres.h"

#include "api/operation.h"
#include "http/transfer.h"

typedef enum RetryAction
{
	RETRY_SUCCEED,    /* the answer is what was asked for */
	RETRY_FAIL,       /* it will never be */
	RETRY_AGAIN,      /* later, counted as an attempt */
	RETRY_OUTAGE,     /* later, not counted: the request did not get through */
	RETRY_CREDENTIAL, /* the credential was refused: a new token, or all its jobs wait */
	RETRY_CONFLICT,   /* 409 or 422 of a keyed operation: it may be about what was sent before */
	RETRY_IN_DOUBT    /* it may have taken effect and must not be repeated */
} RetryAction;

extern RetryAction retry_decide(const Operation *operation, const HttpResponse *response,
								const char *code, bool has_answer);
extern bool retry_is_outage(const HttpResponse *response);
extern int64 retry_delay(int attempts, long retry_after);

#endif /* CANOPY_SUMMIT_JOB_RETRY_H */
