/*
 * hold.h
 *	  Holds of refused credentials.
 */
#ifndef CANOPY_SUMMIT_HOLD_H
#define CANOPY_SUMMIT_HOLD_H

#include "worker.h"

extern void hold_write(const Flight *flight);
extern bool hold_is_over(const Credential *credential, const bytea *hash);

#endif /* CANOPY_SUMMIT_HOLD_H */
