/*
 * authorize.h
 *	  Apps: access that customers grant, by OAuth 2.0.
 */
#ifndef CANOPY_SUMMIT_CANOPY_AUTHORIZE_H
#define CANOPY_SUMMIT_CANOPY_AUTHORIZE_H

extern void authorize_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_AUTHORIZE_H */
