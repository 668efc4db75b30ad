/*
 * signature.h
 *	  Signatures of webhooks: read, verify, make.  Pure: no catalogs, no clock.
 *
 * Both providers sign "<t>.<body>" by HMAC-SHA256 and send t, a Unix time in
 * seconds, with the digest in hex: "t=…,s=…" (docs.usecanopy.com, "verifying
 * webhook signatures") or "t=…,v1=…" (Summit's integration guide).
 */
#ifndef CANOPY_SUMMIT_WEBHOOK_SIGNATURE_H
#define CANOPY_SUMMIT_WEBHOOK_SIGNATURE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#define SIGNATURE_LENGTH     32          /* bytes of a digest */
#define SIGNATURE_MAX        10          /* of one header that are looked at */
#define SIGNATURE_HEADER_MAX (16 * 1024) /* bytes */

/* What is wrong where signature_matches() is false. */
#define SIGNATURE_NO_MATCH "no signature was made of this body with one of the secrets"

/* A header, taken apart. */
typedef struct Signature
{
	const char *time_text; /* as signed; points into the header */
	int time_len;
	int64 time; /* s since 1970 */
	int count;
	uint8 digests[SIGNATURE_MAX][SIGNATURE_LENGTH];
} Signature;

/* Microseconds since 1970. */
static inline int64
signature_clock(TimestampTz time)
{
	return time + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

extern const char *signature_parse(const char *header, size_t len, Signature *signature);
extern const char *signature_check_time(const Signature *signature, int64 tolerance, int64 now);
extern bool
signature_matches(const Signature *signature, const char *body, size_t body_len, List *secrets);
extern void signature_make(const char *secret, const char *time_text, const char *body,
						   size_t body_len, uint8 *digest);

#endif /* CANOPY_SUMMIT_WEBHOOK_SIGNATURE_H */
