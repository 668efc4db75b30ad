/*
 * pull_jwt.h
 *	  Tokens of pulls, which stand in for a credential in requests about one pull.
 */
#ifndef CANOPY_SUMMIT_CREDENTIAL_PULL_JWT_H
#define CANOPY_SUMMIT_CREDENTIAL_PULL_JWT_H

#include "postgres.h"

#include "utils/jsonb.h"

#define PULL_JWT_PARAM "pull-jwt"

/* The caller is inside engine_begin() */
extern void pull_jwt_keep(Oid server_oid, const char *pull_id, const char *pull_jwt);
extern bool pull_jwt_is_known(Oid server_oid, const char *pull_id);
extern Jsonb *pull_jwt_add(Oid server_oid, Jsonb *params);

#endif /* CANOPY_SUMMIT_CREDENTIAL_PULL_JWT_H */
