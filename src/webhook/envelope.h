/*
 * envelope.h
 *	  What a webhook's body says of itself.  Pure.
 */
#ifndef CANOPY_SUMMIT_WEBHOOK_ENVELOPE_H
#define CANOPY_SUMMIT_WEBHOOK_ENVELOPE_H

#include "postgres.h"

#include "base/digest.h"
#include "server/provider.h"

#define ENVELOPE_NAME_MAX 200 /* bytes of an event's name, a pull's id, a policy's number */

typedef struct Envelope
{
	const char *event;         /* NULL = the body does not say */
	const char *subject;       /* pull or policy that it is about; NULL = none */
	const char *delivery_key;  /* Summit's delivery_id; NULL = none */
	uint8 hash[DIGEST_LENGTH]; /* of what a redelivery has in common with the first */
	const char *problem;       /* why it cannot be read; NULL = it can */
} Envelope;

extern void envelope_read(Provider provider, const char *body, size_t len, Envelope *envelope);

#endif /* CANOPY_SUMMIT_WEBHOOK_ENVELOPE_H */
