/*
 * inbox_store.h
 *	  Storing webhooks that have been checked.
 */
#ifndef CANOPY_SUMMIT_WEBHOOK_INBOX_STORE_H
#define CANOPY_SUMMIT_WEBHOOK_INBOX_STORE_H

#include "postgres.h"

#include "webhook/inbox.h"

extern void inbox_store(Delivery **deliveries, int count);
extern bool inbox_take(Delivery *delivery);
extern void inbox_probe(size_t len);

#endif /* CANOPY_SUMMIT_WEBHOOK_INBOX_STORE_H */
