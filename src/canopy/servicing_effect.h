/*
 * servicing_effect.h
 *	  What answers tell of servicing actions.
 */
#ifndef CANOPY_SUMMIT_CANOPY_SERVICING_EFFECT_H
#define CANOPY_SUMMIT_CANOPY_SERVICING_EFFECT_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern void servicing_effect_register(void);
extern void servicings_created(List *settlements);

#endif /* CANOPY_SUMMIT_CANOPY_SERVICING_EFFECT_H */
