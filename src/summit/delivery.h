/*
 * delivery.h
 *	  Webhooks that go out.
 */
#ifndef CANOPY_SUMMIT_SUMMIT_DELIVERY_H
#define CANOPY_SUMMIT_SUMMIT_DELIVERY_H

#include "postgres.h"

extern void delivery_register(void);

#endif /* CANOPY_SUMMIT_SUMMIT_DELIVERY_H */
