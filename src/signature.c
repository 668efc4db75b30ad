/*
 * signature.c
 *	  Signatures of webhooks: read, verify, make.  See signature.h.
 */
#include "signature.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define TIME_DIGITS 12 /* so that the time in microseconds fits into 64 bits */

/* The value of a hex digit, -1 for any other character. */
static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Exactly 64 hex digits as a digest. */
static bool
digest_parse(const char *text, size_t len, uint8 *digest)
{
	if (len != 2 * SIGNATURE_LENGTH)
		return false;
	for (int i = 0; i < SIGNATURE_LENGTH; i++)
	{
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		digest[i] = (uint8) (high << 4 | low);
	}
	return true;
}

/* A positive decimal number without sign or leading zeros. */
static bool
time_parse(const char *text, size_t len, Signature *signature)
{
	int64 time = 0;

	if (len == 0 || len > TIME_DIGITS || text[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		time = time * 10 + (text[i] - '0');
	}
	signature->time_text = text;
	signature->time_len = (int) len;
	signature->time = time;
	return true;
}

/* Take one "name=value" of a header; what is wrong with it, or NULL. */
static const char *
part_parse(const char *part, size_t len, Signature *signature)
{
	const char *equals = memchr(part, '=', len);
	const char *value;
	size_t name_len;
	size_t value_len;

	if (equals == NULL)
		return "a part of the header has no \"=\"";
	value = equals + 1;
	name_len = equals - part;
	value_len = len - name_len - 1;
	if (name_len == 1 && part[0] == 't')
	{
		if (signature->time_text != NULL)
			return "the header has more than one time";
		if (!time_parse(value, value_len, signature))
			return "the header's time is no Unix time in seconds";
	}
	else if ((name_len == 1 && part[0] == 's') ||
			 (name_len == 2 && memcmp(part, "v1", name_len) == 0))
	{
		if (signature->count == SIGNATURE_MAX)
			return "the header has too many signatures";
		if (!digest_parse(value, value_len, signature->digests[signature->count]))
			return "a signature is not 64 hex digits";
		signature->count++;
	}
	return NULL;
}

/*
 * Take a header apart, which *signature points into.  Names that are not known
 * are passed over, as both providers ask for.  Returns NULL, or what is wrong.
 */
const char *
signature_parse(const char *header, size_t len, Signature *signature)
{
	const char *end = header + len;

	*signature = (Signature){0};
	if (len > SIGNATURE_HEADER_MAX)
		return "the header is too long";
	for (;;)
	{
		const char *comma = memchr(header, ',', end - header);
		const char *problem = part_parse(header, (comma ? comma : end) - header, signature);

		if (problem != NULL)
			return problem;
		if (comma == NULL)
			break;
		header = comma + 1;
	}
	if (signature->time_text == NULL)
		return "the header has no time";
	return signature->count == 0 ? "the header has no signature" : NULL;
}

/*
 * Whether a signature was made within `tolerance` of `now`, both in
 * microseconds, before or after it.  Returns NULL, or what is wrong.
 */
const char *
signature_check_time(const Signature *signature, int64 tolerance, int64 now)
{
	int64 age = now - signature->time * USECS_PER_SEC;

	if (age > tolerance)
		return "it was signed too long ago";
	return age < -tolerance ? "it was signed in the future" : NULL;
}

/* HMAC-SHA256 of "<time>.<body>". */
static void
digest_compute(const char *secret, const char *time_text, size_t time_len, const char *body,
			   size_t body_len, uint8 *digest)
{
	static EVP_MAC_CTX *context = NULL;
	static char digest_name[] = "SHA256";
	size_t digest_len;

	/* Looking up the algorithms costs more than a digest of a kilobyte. */
	if (context == NULL)
	{
		EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
		OSSL_PARAM params[2] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest_name,
																 0),
								OSSL_PARAM_construct_end()};

		context = mac ? EVP_MAC_CTX_new(mac) : NULL;
		EVP_MAC_free(mac);
		if (context == NULL || EVP_MAC_CTX_set_params(context, params) != 1)
		{
			EVP_MAC_CTX_free(context);
			context = NULL;
			elog(ERROR, "could not prepare HMAC-SHA256");
		}
	}
	if (EVP_MAC_init(context, (const unsigned char *) secret, strlen(secret), NULL) != 1 ||
		EVP_MAC_update(context, (const unsigned char *) time_text, time_len) != 1 ||
		EVP_MAC_update(context, (const unsigned char *) ".", 1) != 1 ||
		EVP_MAC_update(context, (const unsigned char *) body, body_len) != 1 ||
		EVP_MAC_final(context, digest, &digest_len, SIGNATURE_LENGTH) != 1 ||
		digest_len != SIGNATURE_LENGTH)
		elog(ERROR, "could not compute HMAC-SHA256");
}

/*
 * Whether one of the signatures was made with one of the secrets (char *;
 * empty ones are none).  Takes the same time whichever it is.
 */
bool
signature_matches(const Signature *signature, const char *body, size_t body_len, List *secrets)
{
	uint8 digest[SIGNATURE_LENGTH];
	int matches = 0;
	ListCell *cell;

	foreach(cell, secrets)
	{
		const char *secret = lfirst(cell);

		if (secret[0] == '\0')
			continue;
		digest_compute(secret, signature->time_text, signature->time_len, body, body_len, digest);
		for (int i = 0; i < signature->count; i++)
			matches |= CRYPTO_memcmp(digest, signature->digests[i], SIGNATURE_LENGTH) == 0;
	}
	explicit_bzero(digest, sizeof(digest));
	return matches != 0;
}

/* Sign a body as of a time, given as it is sent. */
void
signature_make(const char *secret, const char *time_text, const char *body, size_t body_len,
			   uint8 *digest)
{
	digest_compute(secret, time_text, strlen(time_text), body, body_len, digest);
}
