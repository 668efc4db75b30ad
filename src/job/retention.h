/*
 * retention.h
 *	  What retention rules let go.
 */
#ifndef CANOPY_SUMMIT_JOB_RETENTION_H
#define CANOPY_SUMMIT_JOB_RETENTION_H

#include "postgres.h"

extern bool retention_run(void);

#endif /* CANOPY_SUMMIT_JOB_RETENTION_H */
