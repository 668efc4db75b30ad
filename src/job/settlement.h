/*
 * settlement.h
 *	  How attempts ended.
 */
#ifndef CANOPY_SUMMIT_JOB_SETTLEMENT_H
#define CANOPY_SUMMIT_JOB_SETTLEMENT_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "http/transfer.h"
#include "job/job.h"

/* How an attempt is written down. */
typedef struct Settlement
{
	const Job *job;
	JobState state;
	TimestampTz run_at; /* of a job that is queued again */
	int attempts;       /* counted ones, with this */
	const char *outcome;
	const char *code; /* NULL = none */
	int status;       /* 0 = none */
	TimestampTz started_at;
	const HttpResponse *response; /* NULL = was not sent */
	Answer *answer;               /* NULL = none */
	const void *finding;          /* of the handler's steps; NULL = none */
	const char *environment;      /* of the server that it was sent to */
	Jsonb *kept;                  /* of the answer, with the job; NULL = nothing */
	bool accepted;                /* out: the claim still stood */
} Settlement;

extern void job_settle(List *settlements, int64 epoch);

#endif /* CANOPY_SUMMIT_JOB_SETTLEMENT_H */
