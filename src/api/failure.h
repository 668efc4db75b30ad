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
	int status;                 /* 0 = none came */
	const char *words;          /* "server answered 404 NOT_FOUND" */
	const char *detail;         /* more, to follow the method and the server; may be empty */
	const char *hint;           /* NULL = none */
	const char *code;           /* of the API; NULL = none */
	const char *correlation_id; /* of the API; NULL = none */
} Failure;

/* What the API's error code says about repeating the request, whatever the status. */
typedef enum CodeMeaning
{
	CODE_SAYS_NOTHING, /* the status decides */
	CODE_CREDENTIAL,   /* the credential was refused */
	CODE_AGAIN,        /* the same request may succeed later */
	CODE_FINAL         /* it never will */
} CodeMeaning;

extern CodeMeaning failure_code_meaning(const char *code);
extern Failure *failure_describe(const HttpResponse *response);
extern Failure *failure_describe_unreadable(const HttpResponse *response, const char *problem);
extern JsonbContainer *failure_error_object(Jsonb *json);
extern bool failure_is_of_route(int status, const char *code);
pg_noreturn extern void
failure_raise(const Connection *connection, const Operation *operation, const Failure *failure);

#endif /* CANOPY_SUMMIT_API_FAILURE_H */
