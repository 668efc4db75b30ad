/*
 * job_effect.h
 *	  What an answer changes besides the job itself, in the transaction that
 *	  settles the job.
 */
#ifndef CANOPY_SUMMIT_WORKER_JOB_EFFECT_H
#define CANOPY_SUMMIT_WORKER_JOB_EFFECT_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "worker/flight.h"

extern void effect_keep_answer(Flight *flight);
extern void effect_apply(List *flights);

#endif /* CANOPY_SUMMIT_WORKER_JOB_EFFECT_H */
