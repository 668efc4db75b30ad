/*
 * call.h
 *	  What came of a request, and one operation called synchronously.
 */
#ifndef CANOPY_SUMMIT_CALL_H
#define CANOPY_SUMMIT_CALL_H

#include "compat.h"
#include "http.h"
#include "operation.h"

typedef struct Answer
{
	Jsonb *json;          /* out of its envelope */
	List *replaced;       /* paths that json_read() had to replace */
	const char *received; /* the bytes of the response */
	size_t received_len;
	TimestampTz started_at;
} Answer;

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

/* call.c */
extern Answer *
answer_read(const Operation *operation, const HttpResponse *response, Failure **failure);
extern Answer *
call_operation(Connection *connection, const Operation *operation, Jsonb *params, Jsonb *body);

/* call_error.c */
extern Failure *failure_describe(const HttpResponse *response);
extern Failure *failure_describe_unreadable(const HttpResponse *response, const char *problem);
extern JsonbValue *failure_error_object(Jsonb *json);
extern pg_noreturn void
failure_raise(const Connection *connection, const Operation *operation, const Failure *failure);

#endif /* CANOPY_SUMMIT_CALL_H */
