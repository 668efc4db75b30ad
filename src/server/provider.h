/*
 * provider.h
 *	  Which of the two APIs a server or an operation belongs to.
 */
#ifndef CANOPY_SUMMIT_SERVER_PROVIDER_H
#define CANOPY_SUMMIT_SERVER_PROVIDER_H

#include "postgres.h"

typedef enum Provider
{
	PROVIDER_CANOPY,
	PROVIDER_SUMMIT
} Provider;

#endif /* CANOPY_SUMMIT_SERVER_PROVIDER_H */
