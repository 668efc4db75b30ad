/*
 * app_token.h
 *	  The tokens of Apps: workers alone get and refresh them.
 */
#ifndef CANOPY_SUMMIT_WORKER_APP_TOKEN_H
#define CANOPY_SUMMIT_WORKER_APP_TOKEN_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "api/failure.h"
#include "credential/credential.h"
#include "http/transfer.h"
#include "worker/lane.h"
#include "worker/token_request.h"
#include "worker/worker.h"

extern TokenRequest *
app_refresh_start(Worker *worker, Credential *credential, const Lane *lane,
				  void (*landed)(Worker *worker, Sending *sending), const char **problem);
extern Failure *
app_take(Worker *worker, TokenRequest *request, const HttpResponse *response, TimestampTz now);
extern void app_requests_serve(Worker *worker, TimestampTz now);
extern void app_grants_recover(int64 own_epoch);

#endif /* CANOPY_SUMMIT_WORKER_APP_TOKEN_H */
