/*
 * identity.h
 *	  Which server and role a row is of, whatever they are called by now.
 */
#ifndef CANOPY_SUMMIT_ENGINE_IDENTITY_H
#define CANOPY_SUMMIT_ENGINE_IDENTITY_H

#include "postgres.h"

extern char *identity_role_name(Oid role);
extern char *identity_server_name(Oid server);
extern void identity_take_server(Oid server);
extern const char *identity_hold_server(Oid server, const char *name);

#endif /* CANOPY_SUMMIT_ENGINE_IDENTITY_H */
