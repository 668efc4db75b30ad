/*
 * provider.h
 *	  Whom a server speaks to: which of the two APIs, or an endpoint that is sent webhooks.
 */
#ifndef CANOPY_SUMMIT_SERVER_PROVIDER_H
#define CANOPY_SUMMIT_SERVER_PROVIDER_H

#include "postgres.h"

typedef enum Provider
{
	PROVIDER_CANOPY,
	PROVIDER_SUMMIT,
	PROVIDER_ENDPOINT /* somebody's own, which hears what Summit has told */
} Provider;

/* Sets of them. */
#define OF_CANOPY   (1 << PROVIDER_CANOPY)
#define OF_SUMMIT   (1 << PROVIDER_SUMMIT)
#define OF_ENDPOINT (1 << PROVIDER_ENDPOINT)
#define OF_APIS     (OF_CANOPY | OF_SUMMIT)
#define OF_ALL      (OF_APIS | OF_ENDPOINT)

extern const char *provider_word(Provider provider);
extern const char *provider_wrapper(Provider provider);
extern bool provider_find(const char *wrapper, Provider *provider);

#endif /* CANOPY_SUMMIT_SERVER_PROVIDER_H */
