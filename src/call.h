/*
 * call.h
 *	  One operation, called synchronously.
 */
#ifndef CANOPY_SUMMIT_CALL_H
#define CANOPY_SUMMIT_CALL_H

#include "compat.h"
#include "operation.h"

typedef struct Answer
{
	Jsonb *json;          /* out of its envelope */
	List *replaced;       /* paths that json_read() had to replace */
	const char *received; /* the bytes of the response */
	size_t received_len;
	TimestampTz started_at;
} Answer;

extern Answer *
call_operation(Connection *connection, const Operation *operation, Jsonb *params, Jsonb *body);

/* call_error.c */
struct HttpResponse;
extern pg_noreturn void call_raise(const Connection *connection, const Operation *operation,
								   const struct HttpResponse *response);
extern pg_noreturn void
call_raise_unreadable(const Connection *connection, const Operation *operation,
					  const struct HttpResponse *response, const char *problem)
	pg_attribute_noreturn();

#endif /* CANOPY_SUMMIT_CALL_H */
