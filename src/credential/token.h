/*
 * token.h
 *	  Access tokens by OAuth 2.0 client credentials.
 */
#ifndef CANOPY_SUMMIT_CREDENTIAL_TOKEN_H
#define CANOPY_SUMMIT_CREDENTIAL_TOKEN_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "api/failure.h"
#include "credential/credential.h"
#include "http/transfer.h"

extern bool oauth_token_is_fresh(const Credential *credential, TimestampTz now);
extern HttpRequest *oauth_request(const Credential *credential);
extern Failure *oauth_take(Credential *credential, const HttpResponse *response, TimestampTz now);
extern void oauth_forget(Credential *credential);

#endif /* CANOPY_SUMMIT_CREDENTIAL_TOKEN_H */
