/*
 * signature.c
 *	  Signatures of webhooks: read, verify, make.  See signature.h.
 */
#include "postgres.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "webhook/signature.h"

#define TIME_DIGITS   12  /* so that the time in microseconds fits into 64 bits */
#define TIME_TEXT_MAX 20  /* bytes of any time in seconds */
#define SECRET_KEPT   256 /* bytes of a secret whose key schedule is kept */

/* The value of a hex digit, -1 for any other character.  Digests are random: a branch on each would be guessed wrong. */
static inline int
hex_digit(char c)
{
	static const int8 values[256] = {
		/* one more than the value; 0 = none */
		['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
		['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
		['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
		['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
	};

	return values[(uint8) c] - 1;
}

/* Exactly 64 hex digits as a digest. */
static bool
digest_parse(const char *text, size_t len, uint8 *digest)
{
	int wrong = 0;

	if (len != 2 * SIGNATURE_LENGTH)
		return false;
	for (int i = 0; i < SIGNATURE_LENGTH; i++)
	{
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		wrong |= high | low;
		digest[i] = (uint8) (high * 16 + low);
	}
	return wrong >= 0;
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

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The same of what is between commas: blanks around it, which some proxies and clients write, are passed over. */
static const char *
part_parse_trimmed(const char *part, const char *end, Signature *signature)
{
	while (part < end && is_blank(*part))
		part++;
	while (end > part && is_blank(end[-1]))
		end--;
	return part_parse(part, end - part, signature);
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
		const char *problem = part_parse_trimmed(header, comma ? comma : end, signature);

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

/* An HMAC-SHA256 that waits for a key.  Looking up its algorithms costs more than a digest of a kilobyte. */
static EVP_MAC_CTX *
hmac_create(void)
{
	static char digest_name[] = "SHA256";
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	OSSL_PARAM params[2] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest_name, 0),
							OSSL_PARAM_construct_end()};
	EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;

	EVP_MAC_free(mac);
	if (context == NULL || EVP_MAC_CTX_set_params(context, params) != 1)
	{
		EVP_MAC_CTX_free(context);
		elog(ERROR, "could not prepare HMAC-SHA256");
	}
	return context;
}

/* Begin another message with the key of the last one. */
static bool
hmac_restart(EVP_MAC_CTX *context)
{
	return EVP_MAC_init(context, NULL, 0, NULL) == 1;
}

/* Whether hmac_restart() works: OpenSSL before 3.0.3 passes over it in silence. */
static bool
hmac_can_restart(EVP_MAC_CTX *context)
{
	static const unsigned char key[] = "key";
	uint8 digests[2][SIGNATURE_LENGTH];
	size_t len;

	return EVP_MAC_init(context, key, sizeof(key), NULL) == 1 &&
		   EVP_MAC_final(context, digests[0], &len, SIGNATURE_LENGTH) == 1 &&
		   hmac_restart(context) &&
		   EVP_MAC_final(context, digests[1], &len, SIGNATURE_LENGTH) == 1 &&
		   memcmp(digests[0], digests[1], SIGNATURE_LENGTH) == 0;
}

/*
 * An HMAC-SHA256 of a secret, ready for its message.  The one of the last secret
 * is kept with its key, which takes two of the blocks that there are to hash; the
 * next secret overwrites both.  How long the comparison takes tells of two
 * secrets whether they are the same, and no more.
 */
static EVP_MAC_CTX *
hmac_begin(const char *secret)
{
	static EVP_MAC_CTX *context = NULL;
	static char kept[SECRET_KEPT];
	static size_t kept_len = 0; /* 0 = none */
	static bool can_restart;
	size_t len = strlen(secret);

	if (kept_len != 0 && len == kept_len && CRYPTO_memcmp(secret, kept, len) == 0 &&
		hmac_restart(context))
		return context;
	explicit_bzero(kept, kept_len);
	kept_len = 0;
	if (context == NULL)
	{
		context = hmac_create();
		can_restart = hmac_can_restart(context);
	}
	if (EVP_MAC_init(context, (const unsigned char *) secret, len, NULL) != 1)
		elog(ERROR, "could not compute HMAC-SHA256");
	if (can_restart && len <= SECRET_KEPT)
	{
		memcpy(kept, secret, len);
		kept_len = len;
	}
	return context;
}

/* HMAC-SHA256 of "<time>.<body>". */
static void
digest_compute(const char *secret, const char *time_text, size_t time_len, const char *body,
			   size_t body_len, uint8 *digest)
{
	EVP_MAC_CTX *context = hmac_begin(secret);
	char head[TIME_TEXT_MAX + 1]; /* as one piece: each costs a call through OpenSSL's layers */
	size_t digest_len;

	Assert(time_len <= TIME_TEXT_MAX);
	memcpy(head, time_text, time_len);
	head[time_len] = '.';
	if (EVP_MAC_update(context, (const unsigned char *) head, time_len + 1) != 1 ||
		EVP_MAC_update(context, (const unsigned char *) body, body_len) != 1 ||
		EVP_MAC_final(context, digest, &digest_len, SIGNATURE_LENGTH) != 1 ||
		digest_len != SIGNATURE_LENGTH)
		elog(ERROR, "could not compute HMAC-SHA256");
}

/*
 * Whether one of the signatures was made with one of the secrets (char *;
 * empty ones do not count).  Takes the same time whichever it is.
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
