/*
 * inbox.h
 *	  Webhooks on their way into canopy_summit.webhook.
 */
#ifndef CANOPY_SUMMIT_WEBHOOK_INBOX_H
#define CANOPY_SUMMIT_WEBHOOK_INBOX_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "server/connection.h"
#include "webhook/envelope.h"

/* What became of a delivery. */
typedef enum InboxOutcome
{
	INBOX_STORED,
	INBOX_QUARANTINED, /* stored, but it cannot be read */
	INBOX_CONFLICT,    /* stored beside another one of the same delivery_id */
	INBOX_DUPLICATE,   /* known, not stored again */
	INBOX_BAD_SIGNATURE,
	INBOX_TOO_LARGE,
	INBOX_ENCODED, /* its body is compressed, or the like: no signature fits it */
	INBOX_NO_SERVER,
	INBOX_NO_SECRET
} InboxOutcome;

/* One delivery; who receives it fills the first part, inbox_check() the second, inbox_store() the third. */
typedef struct Delivery
{
	const char *server;
	Jsonb *headers;
	const char *body;
	size_t body_len;
	TimestampTz received_at;

	Oid server_oid;
	TimestampTz signed_at;
	TimestampTz signed_after;  /* what has the same content is the same delivery if it was signed */
	TimestampTz signed_before; /* between these, inclusive */
	Envelope envelope;
	int64 identity;      /* digest of the delivery_id, else of the content */
	const char *problem; /* why it is refused; NULL = it is not */

	int place; /* among those that are stored together */
	int round; /* in which it is stored: how many before it have its identity */

	InboxOutcome outcome;
	int64 webhook_id; /* 0 = not stored */
} Delivery;

extern int setting_receiver_max_body_size; /* kB */

extern void inbox_settings(void);
extern void delivery_begin(Delivery *delivery, const char *server, Jsonb *headers, const char *body,
						   size_t len);
extern const char *delivery_verify(Delivery *delivery, const WebhookSource *source);
extern void inbox_check(Delivery *delivery, const WebhookSource *source);
extern void inbox_count_refusal(const char *server, InboxOutcome outcome);
extern int inbox_http_status(InboxOutcome outcome);
extern const char *inbox_outcome_name(InboxOutcome outcome);

#endif /* CANOPY_SUMMIT_WEBHOOK_INBOX_H */
