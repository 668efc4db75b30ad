/*
 * missing.h
 *	  Which columns of the entities a version gives a value.
 */
#ifndef CANOPY_SUMMIT_PULL_MISSING_H
#define CANOPY_SUMMIT_PULL_MISSING_H

#include "postgres.h"

#include "utils/jsonb.h"

extern void missing_look(Jsonb *pull, bool **had);

#endif /* CANOPY_SUMMIT_PULL_MISSING_H */
