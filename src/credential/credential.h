/*
 * credential.h
 *	  One role's credential for one server, as a worker keeps it: connection,
 *	  connections of libcurl, and the access token.
 */
#ifndef CANOPY_SUMMIT_CREDENTIAL_CREDENTIAL_H
#define CANOPY_SUMMIT_CREDENTIAL_CREDENTIAL_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "api/operation.h"
#include "base/digest.h"
#include "http/loop.h"
#include "server/connection.h"

typedef struct Credential
{
	Oid server_oid;
	Oid owner_oid;
	const char *server; /* names at the last reading, or when it was found */
	const char *owner;
	MemoryContext context;      /* of this struct and the names */
	MemoryContext read_context; /* of what was read */
	TimestampTz read_at;        /* 0 = has to be read */
	Connection *connection;     /* NULL = problem says why */
	const char *problem;
	int problem_sqlstate;
	uint8 hash[DIGEST_LENGTH]; /* of client id and secret */
	HttpPool *pool;
	/* OAuth */
	char *token;      /* NULL = none */
	int token_number; /* counts the tokens */
	TimestampTz token_until;
	TimestampTz token_not_before; /* a refused request for one is not repeated earlier */
	int token_failures;           /* requests for one in a row that got none */
	int refusals;                 /* 401s in a row with a fresh token */
	char *
		refused_token; /* an access token that was refused, though it had not run out; NULL = none */
	const char *app_problem; /* why there is no token to be had; NULL = there is */
} Credential;

extern Credential *
credential_find(Oid server_oid, Oid owner_oid, const char *server, const char *owner);
extern void credential_read(Credential *credential, TimestampTz now);
extern void credential_forget_all(void);
extern void credential_forget_token(Credential *credential);
extern bool credential_is_gone(const Credential *credential);
extern bool credential_needs_token(const Credential *credential, const Operation *operation);
extern void credential_take_token(Credential *credential, const char *token, TimestampTz until);
extern void credential_refuse_token(Credential *credential);

#endif /* CANOPY_SUMMIT_CREDENTIAL_CREDENTIAL_H */
