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

/*
 * Decode standard base64 with its padding, in the current memory context.
 * Line breaks and blanks are skipped, because encode() makes them; of the rest,
 * only what encoding the result gives again is taken.
 */
bool
base64_decode(const char *base64, int len, char **bytes, int *bytes_len)
{
	char *packed = palloc(len + 1);
	int packed_len = 0;
	int size;
	bool same;

	for (int i = 0; i < len; i++)
		if (strchr(" \t\r\n", base64[i]) == NULL)
			packed[packed_len++] = base64[i];
	packed[packed_len] = '\0';
	size = pg_b64_dec_len(packed_len);
	*bytes = palloc(size + 1);
	*bytes_len = pg_b64_decode(packed, packed_len, (void *) *bytes, size);
	same = *bytes_len > 0 && strcmp(base64_encode(*bytes, *bytes_len), packed) == 0;
	pfree(packed);
	return same;
}
