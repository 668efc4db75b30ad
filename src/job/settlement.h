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

#include "job/job.h"
#include "http/transfer.h"

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
	Jsonb *answer;                /* to keep; NULL = none */
	bool accepted;                /* out: the claim still stood */
} Settlement;

extern void job_settle(List *settlements, int64 epoch);

#endif /* CANOPY_SUMMIT_JOB_SETTLEMENT_H */
