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
	const char *parts[] = {connection->client_id, connection->client_secret, connection->base_url,
						   connection->auth_url ? connection->auth_url : "",
						   connection->scope ? connection->scope : ""};
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; i < lengthof(parts); i++)
		appendBinaryStringInfo(&all, parts[i], strlen(parts[i]) + 1);
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
	if (memcmp(hash, credential->hash, sizeof(hash)) == 0)
		return;
	/* Another one: what is known of the last one says nothing about it. */
	credential_forget_token(credential);
	credential->token_not_before = 0;
	credential->refusals = 0;
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
