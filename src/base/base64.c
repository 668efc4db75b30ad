/*
 * base64.c
 *	  Bytes as base64, and back.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"

#include "base/base64.h"

/* Standard base64 without line breaks, in the current memory context. */
char *
base64_encode(const char *bytes, int len)
{
	int size = pg_b64_enc_len(len);
	char *encoded = palloc(size + 1);
	int written = pg_b64_encode((const void *) bytes, len, encoded, size);

	if (written < 0)
		elog(ERROR, "could not encode base64");
	encoded[written] = '\0';
	return encoded;
}

/* Decode standard base64 with its padding, in the current memory context; blanks and line breaks are skipped. */
bool
base64_decode(const char *base64, int len, char **bytes, int *bytes_len)
{
	int size = pg_b64_dec_len(len);

	*bytes = palloc(size + 1);
	*bytes_len = pg_b64_decode(base64, len, (void *) *bytes, size);
	return *bytes_len >= 0;
}

/* The same, but only what encoding the result gives again is taken, and not nothing. */
bool
base64_decode_exactly(const char *base64, int len, char **bytes, int *bytes_len)
{
	char *packed = palloc(len + 1);
	int packed_len = 0;
	bool same;

	for (int i = 0; i < len; i++)
		if (strchr(" \t\r\n", base64[i]) == NULL)
			packed[packed_len++] = base64[i];
	packed[packed_len] = '\0';
	same = base64_decode(packed, packed_len, bytes, bytes_len) && *bytes_len > 0 &&
		   strcmp(base64_encode(*bytes, *bytes_len), packed) == 0;
	pfree(packed);
	return same;
}
