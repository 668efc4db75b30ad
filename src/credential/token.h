/*
 * token.h
 *	  Access tokens by OAuth 2.0 client credentials.
 */
#ifndef CANOPY_SUMMIT_CREDENTIAL_TOKEN_H
#define CANOPY_SUMMIT_CREDENTIAL_TOKEN_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/failure.h"
#include "credential/credential.h"
#include "http/transfer.h"
#include "server/connection.h"

extern bool token_is_fit(const char *token);
extern TimestampTz token_end(Jsonb *answer, TimestampTz now);
extern bool token_is_fresh(const Credential *credential, TimestampTz now);
extern HttpRequest *token_http_request(const Connection *connection);
extern Failure *token_take(Credential *credential, const HttpResponse *response, TimestampTz now);

#endif /* CANOPY_SUMMIT_CREDENTIAL_TOKEN_H */
