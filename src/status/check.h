/*
 * check.h
 *	  The checks of canopy_summit.check_server(): what each finds, and what they know of each other.
 */
#ifndef CANOPY_SUMMIT_STATUS_CHECK_H
#define CANOPY_SUMMIT_STATUS_CHECK_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "http/transfer.h"
#include "server/connection.h"

/* The longest list of hosts that a server has: of base_url, and of auth_url. */
#define CHECK_MAX_HOSTS 2

/* A request that was sent to see whether somebody answers, and what came of it. */
typedef struct Probe
{
	const char *option; /* of the server, which has the URL */
	const char *host;
	const HttpResponse *response;
} Probe;

/* A server under examination. */
typedef struct Examination
{
	const char *server;     /* as the caller has named it */
	Connection *connection; /* NULL = it cannot be used */
	Probe probes[CHECK_MAX_HOSTS];
	int probe_count;
	/* The newest answer that came, which says when it was made. */
	const HttpResponse *answer; /* NULL = none came */
	TimestampTz sent_at;
	TimestampTz answered_at;
} Examination;

/*
 * A check raises what is wrong, with the statement or the step to do for its hint.
 * If nothing is, it returns a remark, or NULL.
 */
typedef enum Finding
{
	FINDING_GOOD,
	FINDING_NONE /* there is nothing to check */
} Finding;

typedef Finding (*CheckRun)(Examination *examination, const char **remark);

/* check_api.c: the server, and the API that it stands for. */
extern Finding check_usage(Examination *examination, const char **remark);
extern Finding check_base_url(Examination *examination, const char **remark);
extern Finding check_auth_url(Examination *examination, const char **remark);
extern Finding check_team_id(Examination *examination, const char **remark);
extern Finding check_mapping(Examination *examination, const char **remark);
extern Finding check_secret(Examination *examination, const char **remark);
extern Finding check_ca_file(Examination *examination, const char **remark);
extern Finding check_host(Examination *examination, const char **remark);
extern Finding check_tls(Examination *examination, const char **remark);
extern Finding check_credentials(Examination *examination, const char **remark);
extern Finding check_clock(Examination *examination, const char **remark);

/* check_engine.c: what is done in the background, and what comes in. */
extern Finding check_worker(Examination *examination, const char **remark);
extern Finding check_receiver(Examination *examination, const char **remark);
extern Finding check_webhook_secret(Examination *examination, const char **remark);
extern Finding check_webhook(Examination *examination, const char **remark);

/* check.c */
extern ErrorData *check_attempt(void (*body)(void *argument), void *argument);

#endif /* CANOPY_SUMMIT_STATUS_CHECK_H */
