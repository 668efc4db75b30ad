/*
 * digest.c
 *	  SHA-256 and HMAC-SHA256, by OpenSSL, which knows the processor's instructions for them.
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/digest.h"

StaticAssertDecl(DIGEST_LENGTH == SHA256_DIGEST_LENGTH, "length of SHA-256");

void
digest_bytes(const void *bytes, size_t len, uint8 *digest)
{
	(void) SHA256(bytes, len, digest);
}

void
digest_text(const char *text, uint8 *digest)
{
	digest_bytes(text, strlen(text), digest);
}

/* HMAC-SHA256. */
void
digest_keyed(const void *key, int key_len, const void *bytes, size_t len, uint8 *digest)
{
	if (HMAC(EVP_sha256(), key, key_len, bytes, len, digest, NULL) == NULL)
		elog(ERROR, "could not compute HMAC-SHA256");
}
