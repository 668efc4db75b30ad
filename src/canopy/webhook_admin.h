/*
 * webhook_admin.h
 *	  What answers about Canopy's own list of webhooks, and about teams, bring.
 */
#ifndef CANOPY_SUMMIT_CANOPY_WEBHOOK_ADMIN_H
#define CANOPY_SUMMIT_CANOPY_WEBHOOK_ADMIN_H

extern void webhook_admin_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_WEBHOOK_ADMIN_H */
