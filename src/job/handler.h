/*
 * handler.h
 *	  What the jobs of an operation do besides being sent and settled: the rooms
 *	  above register it, and neither the queue nor the workers know of whom.
 */
#ifndef CANOPY_SUMMIT_JOB_HANDLER_H
#define CANOPY_SUMMIT_JOB_HANDLER_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "api/operation.h"
#include "engine/new_row.h"
#include "http/loop.h"
#include "http/transfer.h"
#include "job/retry.h"
#include "job/settlement.h"
#include "server/connection.h"

/*
 * How a step of a handler ends; `problem` and `code`, which is a constant, are the outcome of a job that is not to be
 * sent, or not to succeed; `problem` is NULL if it is.
 */
typedef void (*StepDone)(void *argument, RetryAction action, const char *code, const char *problem);

/* Every function may be NULL. */
typedef struct JobHandler
{
	const char *operation;

	/* Completes a row that is enqueued, before its parameters and body are checked; refuses it by an error. */
	void (*fill)(NewRow *row, const Connection *connection);

	/* Completes the request of an attempt, whose job has failed so many of them; outside any transaction. */
	void (*compose)(HttpRequest *request, const Connection *connection, int attempts);

	/* Why no job can be sent now, as its outcome, such as a step of theirs that would fail; NULL = they can. */
	const char *(*hindrance)(void);

	/*
	 * Steps of its own, outside any transaction: before an attempt is sent, and between an answer
	 * and its settle.  They wait in the loop, for one thing at most so many milliseconds, and end by
	 * calling done(argument, …), which may be before they return.  What they find, they put into
	 * the settlement.
	 */
	void (*prepare)(Settlement *settlement, HttpLoop *loop, int timeout, StepDone done,
					void *argument);
	void (*inspect)(Settlement *settlement, HttpLoop *loop, int timeout, StepDone done,
					void *argument);

	/*
	 * What a conflict means, which fails the job if this is NULL: RETRY_SUCCEED if it is about
	 * the very same request, whose answer it then puts in the settlement.
	 */
	RetryAction (*judge_conflict)(Settlement *settlement);

	/* The effects of jobs, a List of Settlement *, in the transaction that settles them.  Inside engine_begin(). */
	void (*succeeded)(List *settlements);
	void (*failed)(List *settlements);
	void (*doubted)(List *settlements);

	/* Milliseconds until the next attempt, of which `attempts` have failed; the usual schedule if it is NULL. */
	int64 (*retry_delay)(const Settlement *settlement, int attempts, long retry_after);

	bool stores_answer;         /* its effect does, and job_response need not */
	bool stores_answer_of_task; /* the same, of a job that is part of a task */
	bool takes_lookups;         /* its effect is right for look-ups of jobs in doubt, too */
} JobHandler;

extern void handler_register(const JobHandler *handler);
extern const JobHandler *handler_find(const Operation *operation);
extern const char *handler_hindrance(const Operation *operation);

#endif /* CANOPY_SUMMIT_JOB_HANDLER_H */
