/*
 * request.h
 *	  An operation with its parameters as an HTTP request.
 */
#ifndef CANOPY_SUMMIT_API_REQUEST_H
#define CANOPY_SUMMIT_API_REQUEST_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "api/operation.h"
#include "http/transfer.h"
#include "server/connection.h"

/* A file beside a body, which names it by its number: {"file": 1} in place of {content_type, name, base64}. */
typedef struct RequestFile
{
	int number;
	const char *name;
	const char *media_type;
	const char *bytes;
	size_t len;
} RequestFile;

extern int setting_max_document_size; /* kB */

extern void request_settings(void);
extern void request_check(const Operation *operation, Jsonb *params, Jsonb *body);
extern void request_check_scope(const Connection *connection, const Operation *operation);
extern Jsonb *request_confirm(Jsonb *params, const char *confirm);
extern void
request_check_confirmation(const Connection *connection, const Operation *operation, Jsonb *params);
extern HttpRequest *request_build(const Connection *connection, const Operation *operation,
								  Jsonb *params, Jsonb *body, List *files);

#endif /* CANOPY_SUMMIT_API_REQUEST_H */
