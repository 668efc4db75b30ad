/*
 * retention.h
 *	  What retention rules let go.
 */
#ifndef CANOPY_SUMMIT_JOB_RETENTION_H
#define CANOPY_SUMMIT_JOB_RETENTION_H

#include "postgres.h"

extern void retention_register(void);
extern void retention_kind_register(void);

#endif /* CANOPY_SUMMIT_JOB_RETENTION_H */
