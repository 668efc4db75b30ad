/*
 * sync.h
 *	  Finding what webhooks did not tell of.
 */
#ifndef CANOPY_SUMMIT_CANOPY_SYNC_H
#define CANOPY_SUMMIT_CANOPY_SYNC_H

#include "postgres.h"

extern void sync_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_SYNC_H */
