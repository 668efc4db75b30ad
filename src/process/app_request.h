/*
 * app_request.h
 *	  What sessions ask of workers about the tokens of Apps.
 */
#ifndef CANOPY_SUMMIT_PROCESS_APP_REQUEST_H
#define CANOPY_SUMMIT_PROCESS_APP_REQUEST_H

#include "postgres.h"

#include "process/shared.h"

extern bool
app_request_post(Oid server_oid, Oid owner_oid, int64 authorization_id, const char *code);
extern bool app_request_is_pending(void);
extern bool app_request_take(AppRequest *request);

#endif /* CANOPY_SUMMIT_PROCESS_APP_REQUEST_H */
