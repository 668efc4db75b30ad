/*
 * inbox.c
 *	  How a webhook gets into canopy_summit.webhook: its signature is verified
 *	  before anything is stored, and what is known already is not stored again.
 *
 * Whoever stores a delivery holds the lock of what makes it known, so that of
 * two copies that arrive together one waits for the other.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/digest.h"
#include "engine/lock.h"
#include "process/shared.h"
#include "server/connection.h"
#include "server/provider.h"
#include "webhook/envelope.h"
#include "webhook/header.h"
#include "webhook/inbox.h"
#include "webhook/signature.h"

/*
 * For how long the sender of a body without a delivery_id may send it again;
 * later the same bytes are another event.  Canopy gives up after 7.2 hours
 * (docs.usecanopy.com, "webhook retries"), Summit after about a day.
 */
#define CANOPY_HORIZON (8 * USECS_PER_HOUR)
#define SUMMIT_HORIZON (26 * USECS_PER_HOUR)

int setting_receiver_max_body_size; /* kB */

/* How each outcome is told, and what the sender is answered: 200 unless it should send again, or stop. */
static const struct
{
	const char *name;
	int http_status;
} outcomes[] = {
	[INBOX_STORED] = {"stored", 200},
	[INBOX_QUARANTINED] = {"quarantined", 200},
	[INBOX_CONFLICT] = {"conflict", 200},
	[INBOX_DUPLICATE] = {"duplicate", 200},
	[INBOX_BAD_SIGNATURE] = {"bad_signature", 401},
	[INBOX_TOO_LARGE] = {"too_large", 413},
	[INBOX_ENCODED] = {"encoded", 415},
	[INBOX_NO_SERVER] = {"no_server", 404},
	[INBOX_NO_SECRET] = {"no_secret", 503},
};

int
inbox_http_status(InboxOutcome outcome)
{
	return outcomes[outcome].http_status;
}

const char *
inbox_outcome_name(InboxOutcome outcome)
{
	return outcomes[outcome].name;
}

/* Verify the signature; NULL, or what is wrong with it. */
const char *
delivery_verify(Delivery *delivery, const WebhookSource *source)
{
	const char *name =
		source->provider == PROVIDER_CANOPY ? "canopy-signature" : "x-summit-signature";
	const char *header = header_find(delivery->headers, name);
	const char *problem;
	Signature signature;

	if (header == NULL)
		return psprintf("there is not one header %s", name);
	problem = signature_parse(header, strlen(header), &signature);
	if (problem == NULL)
		problem = signature_check_time(&signature, source->tolerance,
									   signature_clock(delivery->received_at));
	if (problem != NULL)
		return problem;
	if (!signature_matches(&signature, delivery->body, delivery->body_len, source->secrets))
		return SIGNATURE_NO_MATCH;
	delivery->signed_at = delivery->received_at -
						  (signature_clock(delivery->received_at) - signature.time * USECS_PER_SEC);
	return NULL;
}

/* Read a delivery, and what makes it known: it, or another body of the same delivery_id, is waited for. */
static void
delivery_read(Delivery *delivery, Provider provider)
{
	Envelope *envelope = &delivery->envelope;
	uint8 digest[DIGEST_LENGTH];
	const char *key;

	envelope_read(provider, delivery->body, delivery->body_len, envelope);
	key = envelope->delivery_key;
	if (key != NULL)
		digest_text(key, digest);
	delivery->identity = (int64) lock_key(key ? digest : envelope->hash);
}

/* Between which times of signing the same content is the same delivery: always, if it has an id. */
static void
delivery_set_horizon(Delivery *delivery, Provider provider)
{
	TimestampTz horizon = provider == PROVIDER_CANOPY ? CANOPY_HORIZON : SUMMIT_HORIZON;
	bool has_id = delivery->envelope.delivery_key != NULL;

	delivery->signed_after = has_id ? DT_NOBEGIN : delivery->signed_at - horizon;
	delivery->signed_before = has_id ? DT_NOEND : delivery->signed_at + horizon;
}

/*
 * Verify and read a delivery, without touching any table; its outcome is
 * INBOX_STORED if it may be stored.  Needs no transaction.
 */
void
inbox_check(Delivery *delivery, const WebhookSource *source)
{
	if (delivery->body_len > (size_t) setting_receiver_max_body_size * 1024)
	{
		delivery->outcome = INBOX_TOO_LARGE;
		delivery->problem = "the body is larger than canopy_summit.receiver_max_body_size";
	}
	else if (header_is_encoded(delivery->headers))
	{
		delivery->outcome = INBOX_ENCODED;
		delivery->problem =
			"its Content-Encoding is not identity: what is signed is the plain body";
	}
	else if (source->secrets == NIL)
	{
		delivery->outcome = INBOX_NO_SECRET;
		delivery->problem = "the user mapping of the server's webhook_role has no webhook_secret";
	}
	else if ((delivery->problem = delivery_verify(delivery, source)) != NULL)
		delivery->outcome = INBOX_BAD_SIGNATURE;
	else
	{
		delivery->outcome = INBOX_STORED;
		delivery->server_oid = source->server_oid;
		delivery->headers = header_hide_credentials(delivery->headers);
		delivery_read(delivery, source->provider);
		delivery_set_horizon(delivery, source->provider);
	}
}

/* Count a delivery that was refused: nothing else is kept of it.  One that is encoded tells of a proxy, and not of a forger. */
void
inbox_count_refusal(const char *server, InboxOutcome outcome)
{
	ServerCounters *counters;

	if (shared == NULL || server == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	counters = shared_server(server);
	if (counters != NULL && outcome == INBOX_ENCODED)
		counters->encoded_webhooks++;
	else if (counters != NULL)
		counters->refused_webhooks++;
	LWLockRelease(shared->lock);
}

/* A delivery of SQL values: the caller's bytes, as of now. */
void
delivery_begin(Delivery *delivery, const char *server, Jsonb *headers, const char *body, size_t len)
{
	*delivery = (Delivery){.server = server,
						   .headers = headers,
						   .body = body,
						   .body_len = len,
						   .received_at = GetCurrentTimestamp()};
}

/* How large a webhook may be. */
void
inbox_settings(void)
{
	DefineCustomIntVariable("canopy_summit.receiver_max_body_size",
							"Largest body of a webhook that is taken, whichever way it comes.",
							NULL, &setting_receiver_max_body_size, 1024, 1, 64 * 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
}
