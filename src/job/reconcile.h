/*
 * reconcile.h
 *	  Jobs in doubt that can be looked up.
 */
#ifndef CANOPY_SUMMIT_JOB_RECONCILE_H
#define CANOPY_SUMMIT_JOB_RECONCILE_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "job/job.h"

extern void reconcile_register(void);
extern void reconcile_conclude(const Job *job, Jsonb *answer);

#endif /* CANOPY_SUMMIT_JOB_RECONCILE_H */
