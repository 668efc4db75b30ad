/*
 * request.h
 *	  An operation with its parameters as an HTTP request.
 */
#ifndef CANOPY_SUMMIT_API_REQUEST_H
#define CANOPY_SUMMIT_API_REQUEST_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "api/operation.h"
#include "http/transfer.h"
#include "server/connection.h"

extern int setting_max_document_size; /* kB */

extern void request_settings(void);
extern void request_check(const Operation *operation, Jsonb *params, Jsonb *body);
extern Jsonb *request_confirm(Jsonb *params, const char *confirm);
extern void
request_check_confirmation(const Connection *connection, const Operation *operation, Jsonb *params);
extern HttpRequest *
request_build(const Connection *connection, const Operation *operation, Jsonb *params, Jsonb *body);

#endif /* CANOPY_SUMMIT_API_REQUEST_H */
