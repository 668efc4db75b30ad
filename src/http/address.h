/*
 * address.h
 *	  Which addresses requests may go to.
 */
#ifndef CANOPY_SUMMIT_HTTP_ADDRESS_H
#define CANOPY_SUMMIT_HTTP_ADDRESS_H

#include "postgres.h"

struct sockaddr;

extern bool address_is_public(const struct sockaddr *address);

#endif /* CANOPY_SUMMIT_HTTP_ADDRESS_H */
