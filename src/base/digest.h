/*
 * digest.h
 *	  SHA-256 and HMAC-SHA256.
 */
#ifndef CANOPY_SUMMIT_BASE_DIGEST_H
#define CANOPY_SUMMIT_BASE_DIGEST_H

#include "postgres.h"

#define DIGEST_LENGTH 32 /* bytes */

extern void digest_bytes(const void *bytes, size_t len, uint8 *digest);
extern void digest_text(const char *text, uint8 *digest);
extern void
digest_keyed(const void *key, int key_len, const void *bytes, size_t len, uint8 *digest);

#endif /* CANOPY_SUMMIT_BASE_DIGEST_H */
