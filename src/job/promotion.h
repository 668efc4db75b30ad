/*
 * promotion.h
 *	  What a promotion means for jobs.
 */
#ifndef CANOPY_SUMMIT_JOB_PROMOTION_H
#define CANOPY_SUMMIT_JOB_PROMOTION_H

#include "postgres.h"

extern void instance_notice_promotion(void);

#endif /* CANOPY_SUMMIT_JOB_PROMOTION_H */
