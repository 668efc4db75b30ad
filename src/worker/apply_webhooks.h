/*
 * apply_webhooks.h
 *	  Applying what the inbox has stored.
 */
#ifndef CANOPY_SUMMIT_WORKER_APPLY_WEBHOOKS_H
#define CANOPY_SUMMIT_WORKER_APPLY_WEBHOOKS_H

#include "postgres.h"

#include "utils/timestamp.h"

extern void apply_want(TimestampTz now);
extern void apply_register(void);

#endif /* CANOPY_SUMMIT_WORKER_APPLY_WEBHOOKS_H */
