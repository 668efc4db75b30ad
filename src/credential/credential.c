/*
 * credential.c
 *	  The credentials a worker sends with, one a server and role.
 *
 * Server and role are known by their OIDs, not by their names: what is renamed
 * keeps its credential, and a namesake has another.
 * A credential is read as the role it belongs to, so that USAGE and the user
 * mapping are checked at every reading; it is read again when it is older than
 * a second, so that a rotated secret or a revoked right counts at once.
 * Connections are never shared between credentials.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/digest.h"
#include "credential/app.h"
#include "credential/credential.h"
#include "engine/identity.h"
#include "engine/subtransaction.h"
#include "server/connection.h"

#define CREDENTIAL_AGE USECS_PER_SEC /* of what was read */

static List *credentials = NIL;

/* Whether a credential is that of a role for a server; one that is not there has only its name. */
static bool
credential_is(const Credential *credential, Oid server_oid, Oid owner_oid, const char *server,
			  const char *owner)
{
	return credential->server_oid == server_oid && credential->owner_oid == owner_oid &&
		   (OidIsValid(server_oid) || strcmp(credential->server, server) == 0) &&
		   (OidIsValid(owner_oid) || strcmp(credential->owner, owner) == 0);
}

/* The credential of a role for a server, not yet read if it is new. */
Credential *
credential_find(Oid server_oid, Oid owner_oid, const char *server, const char *owner)
{
	Credential *credential;
	MemoryContext context;
	MemoryContext old;
	ListCell *cell;

	foreach(cell, credentials)
	{
		credential = lfirst(cell);
		if (credential_is(credential, server_oid, owner_oid, server, owner))
			return credential;
	}
	context =
		AllocSetContextCreate(TopMemoryContext, "canopy_summit credential", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	credential = palloc0(sizeof(Credential));
	credential->context = context;
	credential->read_context =
		AllocSetContextCreate(context, "canopy_summit connection", ALLOCSET_SMALL_SIZES);
	credential->server_oid = server_oid;
	credential->owner_oid = owner_oid;
	credential->server = pstrdup(server);
	credential->owner = pstrdup(owner);
	MemoryContextSwitchTo(TopMemoryContext);
	credentials = lappend(credentials, credential);
	MemoryContextSwitchTo(old);
	return credential;
}

/* What tells one credential, and where it is good for, from the next, without being it. */
static void
credential_digest(Credential *credential)
{
	const Connection *connection = credential->connection;
	List *parts =
		list_make5(unconstify(char *, connection->client_id),
				   unconstify(char *, connection->client_secret),
				   unconstify(char *, connection->base_url),
				   unconstify(char *, connection->auth_url), unconstify(char *, connection->scope));
	StringInfoData all;
	ListCell *cell;

	initStringInfo(&all);
	foreach(cell, list_concat(parts, connection->signing_secrets))
	{
		const char *part = lfirst(cell) ? lfirst(cell) : "";

		appendBinaryStringInfo(&all, part, strlen(part) + 1);
	}
	digest_bytes(all.data, all.len, credential->hash);
	explicit_bzero(all.data, all.len);
	pfree(all.data);
}

/* Remember a name if it is another one by now. */
static void
credential_rename(const Credential *credential, const char **name, const char *now)
{
	if (strcmp(*name, now) != 0)
		*name = MemoryContextStrdup(credential->context, now);
}

/* Read server and mapping, as the role.  Errors: those of connection_open_oid() and connection_authenticate(). */
static void
credential_open(void *argument)
{
	Credential *credential = argument;
	const char *owner = identity_role_name(credential->owner_oid);

	if (owner == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						OidIsValid(credential->owner_oid)
							? errmsg("role \"%s\" was dropped", credential->owner)
							: errmsg("role \"%s\" does not exist", credential->owner)));
	credential_rename(credential, &credential->owner, owner);
	credential->connection = connection_open_oid(credential->server_oid, credential->server);
	credential_rename(credential, &credential->server, credential->connection->server);
	connection_authenticate(credential->connection);
	credential_digest(credential);
}

/* Read what was granted to the App: the team, the scopes, and the token if it has not run out. */
static void
credential_read_grant(Credential *credential, TimestampTz now)
{
	Connection *connection = credential->connection;
	MemoryContext old = MemoryContextSwitchTo(credential->read_context);
	AppGrant *grant = app_grant_read((AppOwner){credential->server_oid, credential->owner_oid});

	credential->app_problem = app_grant_problem(grant);
	MemoryContextSwitchTo(old);
	connection->granted = grant->scopes;
	if (grant->team_id != NULL && *grant->team_id != '\0')
		connection->team_id = grant->team_id;
	if (grant->state != APP_READY || grant->access_until <= now ||
		(credential->refused_token != NULL &&
		 strcmp(credential->refused_token, grant->access_token) == 0))
		credential_forget_token(credential);
	else if (credential->token == NULL || strcmp(credential->token, grant->access_token) != 0)
		credential_take_token(credential, grant->access_token, grant->access_until);
}

/*
 * Read a credential that is new or old, in a transaction.  What is wrong with
 * it is kept in it and not raised.
 */
void
credential_read(Credential *credential, TimestampTz now)
{
	ErrorData *error;
	uint8 hash[sizeof(credential->hash)];

	if (credential->read_at != 0 && now - credential->read_at < CREDENTIAL_AGE)
		return;
	memcpy(hash, credential->hash, sizeof(hash));
	MemoryContextReset(credential->read_context);
	credential->connection = NULL;
	credential->problem = NULL;
	credential->read_at = now;
	error = subtransaction_run(credential->owner_oid, credential_open, credential,
							   credential->read_context);
	if (error != NULL)
	{
		credential->connection = NULL;
		credential->problem = error->message;
		credential->problem_sqlstate = error->sqlerrcode;
	}
	if (memcmp(hash, credential->hash, sizeof(hash)) != 0)
	{
		/* Another one: what is known of the last one says nothing about it. */
		credential_forget_token(credential);
		credential->token_not_before = 0;
		credential->refusals = 0;
	}
	credential->app_problem = NULL;
	if (credential->connection != NULL && credential->connection->auth == AUTH_SCHEME_APP)
		credential_read_grant(credential, now);
}

/* Whether a credential that was read is unusable for good: role, server, mapping or right are gone. */
bool
credential_is_gone(const Credential *credential)
{
	int sqlstate = credential->problem_sqlstate;

	return credential->connection == NULL &&
		   (sqlstate == ERRCODE_UNDEFINED_OBJECT || sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE ||
			sqlstate == ERRCODE_WRONG_OBJECT_TYPE);
}

/* Have every credential read again before its next use. */
void
credential_forget_all(void)
{
	ListCell *cell;

	foreach(cell, credentials)
		((Credential *) lfirst(cell))->read_at = 0;
}

/* Drop the token: it was refused, or the credential has changed. */
void
credential_forget_token(Credential *credential)
{
	if (credential->token != NULL)
	{
		explicit_bzero(credential->token, strlen(credential->token));
		pfree(credential->token);
	}
	credential->token = NULL;
}

/* Whether an operation is sent with an access token. */
bool
credential_needs_token(const Credential *credential, const Operation *operation)
{
	return operation->auth == OPERATION_AUTH_BEARER ||
		   (operation->auth == OPERATION_AUTH_TEAM && credential->connection != NULL &&
			credential->connection->auth == AUTH_SCHEME_APP);
}

/* Send this token from now on. */
void
credential_take_token(Credential *credential, const char *token, TimestampTz until)
{
	credential_forget_token(credential);
	credential->token = MemoryContextStrdup(credential->context, token);
	credential->token_number++;
	credential->token_until = until;
	if (credential->refused_token != NULL)
		pfree(credential->refused_token);
	credential->refused_token = NULL;
}

/* The token was refused: another one is to be had. */
void
credential_refuse_token(Credential *credential)
{
	char *refused = credential->token;

	credential->token = NULL;
	if (refused != NULL)
	{
		if (credential->refused_token != NULL)
			pfree(credential->refused_token);
		credential->refused_token = refused;
	}
}
