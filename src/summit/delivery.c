/*
 * delivery.c
 *	  Webhooks that go out: numbered and signed when they are sent, and again after
 *	  each failure by Summit's schedule.
 *
 * What is sent, to whom, is in sql/summit/delivery.sql.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/backoff.h"
#include "http/transfer.h"
#include "job/handler.h"
#include "server/connection.h"
#include "summit/delivery.h"
#include "webhook/signature.h"

#define MINUTE            (60 * 1000) /* ms */
#define HOUR              (60 * MINUTE)
#define RETRY_AFTER_LIMIT (6 * 60 * 60) /* s */

/*
 * Milliseconds between the attempts, each with full jitter: "up to 8 attempts over ~24
 * hours (0m, 2m, 10m, 30m, 2h, 6h, 12h, 24h)" (Summit's guide, "Retry policy").
 */
static const int64 steps[] = {2 * MINUTE, 8 * MINUTE, 20 * MINUTE, 90 * MINUTE,
							  4 * HOUR,   6 * HOUR,   12 * HOUR};

/* JobHandler.retry_delay: never before a Retry-After (seconds). */
static int64
delivery_retry_delay(const Settlement *settlement, int attempts, long retry_after)
{
	int64 delay = backoff_spread(steps[Min(attempts, lengthof(steps)) - 1], 1.0);

	return Max(delay, 1000 * (int64) Min(retry_after, RETRY_AFTER_LIMIT));
}

/* The header, with a signature by each of the secrets: a receiver may know an old one or a new one. */
static char *
signature_header(const HttpRequest *request, List *secrets)
{
	char *time = psprintf(INT64_FORMAT, signature_clock(GetCurrentTimestamp()) / USECS_PER_SEC);
	StringInfoData header;
	ListCell *cell;

	initStringInfo(&header);
	appendStringInfo(&header, "X-Summit-Signature: t=%s", time);
	foreach(cell, secrets)
	{
		uint8 digest[SIGNATURE_LENGTH];
		char hex[2 * SIGNATURE_LENGTH + 1];

		signature_make(lfirst(cell), time, request->body, request->body_len, digest);
		hex[hex_encode((const char *) digest, sizeof(digest), hex)] = '\0';
		appendStringInfo(&header, ",v1=%s", hex);
	}
	return header.data;
}

/* JobHandler.compose: the body, an object that is not empty, says which attempt it is. */
static void
delivery_compose(HttpRequest *request, const Connection *connection, int attempts)
{
	request->body = psprintf("%.*s, \"attempt\": %d}", (int) request->body_len - 1, request->body,
							 attempts + 1);
	request->body_len = strlen(request->body);
	request->headers =
		lappend(request->headers, signature_header(request, connection->signing_secrets));
}

/* From _PG_init(). */
void
delivery_register(void)
{
	static const JobHandler delivery = {.operation = "post-delivery",
										.compose = delivery_compose,
										.retry_delay = delivery_retry_delay,
										.stores_answer = true};

	handler_register(&delivery);
}
