/*
 * failure.h
 *	  Why a request gave no answer.
 */
#ifndef CANOPY_SUMMIT_API_FAILURE_H
#define CANOPY_SUMMIT_API_FAILURE_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "api/operation.h"
#include "base/compat.h"
#include "http/transfer.h"
#include "server/connection.h"

/* Why a request gave no answer, in words that hold nothing secret or personal. */
typedef struct Failure
{
	int sqlstate;
	const char *words;          /* "server answered 404 NOT_FOUND" */
	const char *detail;         /* more, to follow the method and the server; may be empty */
	const char *hint;           /* NULL = none */
	const char *code;           /* of the API; NULL = none */
	const char *correlation_id; /* of the API; NULL = none */
} Failure;

extern Failure *failure_describe(const HttpResponse *response);
extern Failure *failure_describe_unreadable(const HttpResponse *response, const char *problem);
extern JsonbContainer *failure_error_object(Jsonb *json);
extern pg_noreturn void
failure_raise(const Connection *connection, const Operation *operation, const Failure *failure);

#endif /* CANOPY_SUMMIT_API_FAILURE_H */
