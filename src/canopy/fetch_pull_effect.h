/*
 * fetch_pull_effect.h
 *	  A pull fetched by job.
 */
#ifndef CANOPY_SUMMIT_CANOPY_FETCH_PULL_EFFECT_H
#define CANOPY_SUMMIT_CANOPY_FETCH_PULL_EFFECT_H

#include "postgres.h"

extern void fetch_effect_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_FETCH_PULL_EFFECT_H */
