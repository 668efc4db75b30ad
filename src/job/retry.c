/*
 * retry.c
 *	  The table of outcomes: what an attempt that ended so means for its job.
 *
 * Pure.  The API's error code decides before the status does; an operation that
 * is billable, or neither safe, idempotent nor keyed, is only repeated if the server
 * cannot have acted on it.
 */
#include "postgres.h"

#include "api/failure.h"
#include "api/operation.h"
#include "base/backoff.h"
#include "http/transfer.h"
#include "job/retry.h"

#define RETRY_BASE        (2 * 1000)       /* ms: the first delay is up to this */
#define RETRY_LONGEST     (10 * 60 * 1000) /* ms without a Retry-After */
#define RETRY_AFTER_LIMIT (6 * 60 * 60)    /* s: the longest Retry-After that is obeyed */

/* What a whole response with this status means, before the class of the operation is asked. */
static RetryAction
status_action(int status)
{
	switch (status)
	{
		case 401:
			return RETRY_CREDENTIAL;
		case 408: /* the server waited for the request and did not get it */
		case 425: /* too early */
		case 429:
		case 503:
			return RETRY_AGAIN;
		case 409:
		case 422: /* which some servers say of a key that is known already */
			return RETRY_CONFLICT;
		default:
			/* 1xx cannot end a response, 3xx is not followed, 2xx came with content that cannot be read */
			return status >= 500 ? RETRY_AGAIN : RETRY_FAIL;
	}
}

/* The same, where the API's error code may say it. */
static RetryAction
response_action(int status, const char *code)
{
	switch (status == 429 ? CODE_SAYS_NOTHING : failure_code_meaning(code))
	{
		case CODE_CREDENTIAL:
			return RETRY_CREDENTIAL;
		case CODE_AGAIN:
			return RETRY_AGAIN;
		case CODE_FINAL:
			return RETRY_FAIL;
		default:
			return status_action(status);
	}
}

/*
 * Whether the server says that it has not acted on the request.  What stands before it may say
 * so of a request that it has passed on, which is not good enough where that costs.
 */
static bool
was_refused(const Operation *operation, int status)
{
	return status == 425 || status == 429 ||
		   (!(operation->flags & OPERATION_BILLABLE) && (status == 408 || status == 503));
}

/* What a transfer without a whole response means. */
static RetryAction
outcome_action(const HttpResponse *response)
{
	switch (response->outcome)
	{
		case HTTP_NOT_RESOLVED:
		case HTTP_NOT_CONNECTED:
		case HTTP_NOT_TRUSTED:
		case HTTP_NO_RESOURCES:
			return RETRY_OUTAGE;
		case HTTP_ADDRESS_REFUSED:
		case HTTP_TOO_LARGE:
			return RETRY_FAIL;
		default:
			return response->was_sent ? RETRY_AGAIN : RETRY_OUTAGE;
	}
}

/* A webhook: "stop on any 2xx; 4xx (except 408/429/499) are not retried" (Summit's guide, "Retry policy"). */
static RetryAction
delivery_action(const HttpResponse *response)
{
	if (response->outcome == HTTP_ADDRESS_REFUSED)
		return RETRY_FAIL;
	if (response->outcome == HTTP_NO_RESOURCES)
		return RETRY_OUTAGE;
	if (response->outcome != HTTP_COMPLETE && response->outcome != HTTP_TOO_LARGE)
		return RETRY_AGAIN;
	if (response->status == 408 || response->status == 429 || response->status == 499)
		return RETRY_AGAIN;
	return response->status >= 400 && response->status <= 499 ? RETRY_FAIL : RETRY_AGAIN;
}

/*
 * What to do after an attempt.  `code` is the API's error code or NULL;
 * `has_answer` says that the response was a success whose content could be read.
 */
RetryAction
retry_decide(const Operation *operation, const HttpResponse *response, const char *code,
			 bool has_answer)
{
	bool repeatable = operation_may_repeat(operation);
	bool is_success = response->status >= 200 && response->status <= 299;
	RetryAction action;

	if (has_answer)
		return RETRY_SUCCEED;
	if (operation->auth == OPERATION_AUTH_SIGNATURE)
		return delivery_action(response);
	if (response->outcome != HTTP_COMPLETE)
	{
		action = outcome_action(response);
		return repeatable || action == RETRY_OUTAGE || !response->was_sent ? action
																		   : RETRY_IN_DOUBT;
	}
	if (is_success)
		return !repeatable                          ? RETRY_IN_DOUBT
			   : operation->class == OPERATION_SAFE ? RETRY_FAIL
													: RETRY_AGAIN;
	action = response_action(response->status, code);
	/* It is the pull's token then, and not the role's credential, that does not do. */
	if (action == RETRY_CREDENTIAL && operation->auth == OPERATION_AUTH_PULL_JWT)
		action = RETRY_FAIL;
	if (action == RETRY_CONFLICT && operation->class != OPERATION_KEYED)
		action = RETRY_FAIL;
	if (!repeatable && action == RETRY_AGAIN && !was_refused(operation, response->status))
		return RETRY_IN_DOUBT;
	return action;
}

/* Whether the outcome says something about the server rather than about the request. */
bool
retry_is_outage(const HttpResponse *response)
{
	if (response->outcome == HTTP_COMPLETE)
		return response->status == 502 || response->status == 503 || response->status == 504;
	return response->outcome != HTTP_TOO_LARGE && response->outcome != HTTP_ADDRESS_REFUSED &&
		   response->outcome != HTTP_NO_RESOURCES;
}

/*
 * Milliseconds until the next attempt: exponential with full jitter, but never
 * before the Retry-After (seconds, 0 = none), which is obeyed up to a limit.
 */
int64
retry_delay(int attempts, long retry_after)
{
	int64 delay = backoff_spread(backoff_delay(RETRY_BASE, RETRY_LONGEST, attempts - 1), 1.0);

	return 1000 * (int64) Min(retry_after, RETRY_AFTER_LIMIT) + delay;
}
