/*
 * billable.h
 *	  What billable requests may be sent a day.
 */
#ifndef CANOPY_SUMMIT_JOB_BILLABLE_H
#define CANOPY_SUMMIT_JOB_BILLABLE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

extern int setting_billable_daily_limit;

extern void billable_settings(void);

/* The caller is inside engine_begin() */
extern List *billable_count(List *jobs, List *settlements);
extern void billable_bring_forward(TimestampTz now);

#endif /* CANOPY_SUMMIT_JOB_BILLABLE_H */
