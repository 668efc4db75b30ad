/*
 * app.h
 *	  What a customer has granted to an App (OAuth 2.0, guide, section 1.3).
 */
#ifndef CANOPY_SUMMIT_CREDENTIAL_APP_H
#define CANOPY_SUMMIT_CREDENTIAL_APP_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "api/failure.h"
#include "http/transfer.h"
#include "server/connection.h"

typedef enum AppState
{
	APP_NONE, /* nothing was granted */
	APP_READY,
	APP_REFRESHING, /* a worker has sent the refresh token */
	APP_LOST        /* it has to be granted again */
} AppState;

/* Whose grant it is. */
typedef struct AppOwner
{
	Oid server_oid;
	Oid owner_oid;
} AppOwner;

typedef struct AppGrant
{
	AppState state;
	const char *team_id;
	const char *scopes; /* with commas between */
	const char *access_token;
	TimestampTz access_until;
	int64 epoch;         /* of the worker that refreshes it */
	const char *problem; /* why it is lost */
} AppGrant;

/* An address that was given out, whose code has come. */
typedef struct AppAuthorization
{
	const char *verifier;
	const char *redirect_uri;
	Datum scopes; /* text[] */
} AppAuthorization;

/* What an answer brings. */
typedef struct AppTokens
{
	const char *team_id;
	const char *access_token;
	const char *refresh_token;
	const char *scope; /* NULL = as asked for */
	TimestampTz until;
} AppTokens;

extern char *app_scopes_granted(MemoryContext context, const char *scope);
extern HttpRequest *app_refresh_request(const Connection *connection, const char *refresh_token);
extern HttpRequest *app_exchange_request(const Connection *connection,
										 const AppAuthorization *authorization, const char *code);
extern Failure *app_tokens_read(const HttpResponse *response, TimestampTz now, AppTokens *tokens);

/* The caller is inside engine_begin() */
extern const char *app_grant_problem(const AppGrant *grant);
extern AppGrant *app_grant_read(AppOwner owner);
extern char *app_grant_take(AppOwner owner, int64 epoch);
extern void app_grant_give_back(AppOwner owner, int64 epoch);
extern void app_grant_lose(AppOwner owner, int64 epoch, const char *problem);
extern void app_grant_expire(AppOwner owner, const char *access_token);
extern bool app_grant_refreshed(AppOwner owner, int64 epoch, const AppTokens *tokens);
extern void app_grant_new(AppOwner owner, const AppTokens *tokens, Datum scopes);
extern bool app_authorization_take(int64 authorization_id, AppAuthorization *authorization);
extern void app_authorization_end(int64 authorization_id, const char *problem);

#endif /* CANOPY_SUMMIT_CREDENTIAL_APP_H */
