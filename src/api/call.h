/*
 * call.h
 *	  One operation called synchronously.
 */
#ifndef CANOPY_SUMMIT_API_CALL_H
#define CANOPY_SUMMIT_API_CALL_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "api/answer.h"
#include "api/failure.h"
#include "api/operation.h"
#include "server/connection.h"

extern void call_take_token(Connection *connection, const Operation *operation);
extern void call_register_token_source(void (*source)(Connection *connection));
extern Answer *call_try(Connection *connection, const Operation *operation, Jsonb *params,
						Jsonb *body, Failure **failure);
extern Answer *
call_operation(Connection *connection, const Operation *operation, Jsonb *params, Jsonb *body);

#endif /* CANOPY_SUMMIT_API_CALL_H */
