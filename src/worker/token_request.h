/*
 * token_request.h
 *	  A request for an access token, and the flights that wait for it.
 */
#ifndef CANOPY_SUMMIT_WORKER_TOKEN_REQUEST_H
#define CANOPY_SUMMIT_WORKER_TOKEN_REQUEST_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "credential/credential.h"
#include "worker/lane.h"
#include "worker/send.h"
#include "worker/worker.h"

typedef struct TokenRequest
{
	Sending sending;
	MemoryContext context; /* of this struct */
	Credential *credential;
	List *waiting; /* of Flight * */
	bool is_app;   /* it is about the tokens of an App */
	int64
		authorization_id; /* with auth 'app': whose code it changes for tokens; 0 = it refreshes them */
	Datum scopes;         /* text[] that the code is for */
} TokenRequest;

/* What came of one. */
typedef struct TokenEnd
{
	List *waiting;       /* those that waited */
	const char *problem; /* why there is no token; NULL = there is one */
	bool is_refused;     /* the secret itself was */
} TokenEnd;

extern TokenRequest *token_request_find(Worker *worker, const Credential *credential);
extern TokenRequest *
token_request_start(Worker *worker, Credential *credential, const Lane *lane,
					void (*landed)(Worker *worker, Sending *sending), const char **problem);
extern TokenRequest *token_request_send(Worker *worker, Credential *credential, const Lane *lane,
										void (*landed)(Worker *worker, Sending *sending),
										HttpRequest *(*make)(TokenRequest *request, void *argument),
										void *argument, const char **problem);
extern TokenEnd token_request_end(Worker *worker, TokenRequest *request, TimestampTz now);

#endif /* CANOPY_SUMMIT_WORKER_TOKEN_REQUEST_H */
