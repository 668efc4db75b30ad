/*
 * flight.h
 *	  A claimed job on its way.
 */
#ifndef CANOPY_SUMMIT_WORKER_FLIGHT_H
#define CANOPY_SUMMIT_WORKER_FLIGHT_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "credential/credential.h"
#include "job/job.h"
#include "job/settlement.h"
#include "worker/lane.h"
#include "worker/send.h"
#include "worker/worker.h"

/* A claimed job on its way; it lives in the job's memory context. */
typedef struct Flight
{
	Sending sending;
	Worker *worker;
	Job *job;
	MemoryContext context;
	Lane *lane;
	Credential *credential;
	TimestampTz started_at;
	int timeout;      /* ms of its request */
	int token_number; /* which token it was sent with */
	const HttpResponse
		*redirect; /* the server's, of an operation that answers with one; NULL = none yet */
	Settlement settlement;
	bool
		is_inspected; /* it is among the worker's inspected ones, and in none of its server's places */
	bool holds_credential; /* the settle has to write a hold */
	bool is_quarantined;   /* its effect failed and is left out */
	int64 bytes;           /* of its answer, as the worker counts them */
	int tries;             /* to settle it apart from others */
	TimestampTz settle_at; /* not tried again before */
} Flight;

extern int64 flight_bytes(const Flight *flight);
extern Flight *flight_create(Worker *worker, Lane *lane, Job *job);
extern void token_landed(Worker *worker, Sending *sending);
extern void flight_start(Worker *worker, Flight *flight);
extern void flights_go_on(Worker *worker);

#endif /* CANOPY_SUMMIT_WORKER_FLIGHT_H */
