/*
 * signature.c
 *	  Does signature_parse() take exactly the headers that it should?
 *
 * The checker below goes through the header by itself, byte by byte, and says
 * what has to be found in it.
 *
 * Links src/webhook/signature.c -lcrypto
 */
#include "stub.h"

#include "webhook/signature.h"

/* Exactly these bytes. */
static bool
is_name(const char *name, size_t len, const char *wanted)
{
	return len == strlen(wanted) && memcmp(name, wanted, len) == 0;
}

static bool
all_of(const char *bytes, size_t len, const char *set)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] == '\0' || strchr(set, bytes[i]) == NULL)
			return false;
	return true;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Whether a part is one that makes the whole header good or bad; counts times and signatures. */
static bool
part_is_good(const char *part, size_t len, int *times, int *signatures)
{
	const char *equals = memchr(part, '=', len);
	const char *value;
	size_t name_len;
	size_t value_len;

	if (equals == NULL)
		return false;
	value = equals + 1;
	name_len = equals - part;
	value_len = len - name_len - 1;
	if (is_name(part, name_len, "t"))
		return ++*times == 1 && value_len >= 1 && value_len <= 12 && value[0] != '0' &&
			   all_of(value, value_len, "0123456789");
	if (is_name(part, name_len, "s") || is_name(part, name_len, "v1"))
		return ++*signatures <= SIGNATURE_MAX && value_len == 64 &&
			   all_of(value, value_len, "0123456789abcdefABCDEF");
	return true;
}

static bool
header_is_good(const char *header, size_t len)
{
	int times = 0;
	int signatures = 0;
	size_t start = 0;

	for (size_t i = 0; i <= len; i++)
	{
		if (i < len && header[i] != ',')
			continue;
		size_t end = i;

		while (start < end && is_blank(header[start]))
			start++;
		while (end > start && is_blank(header[end - 1]))
			end--;
		if (!part_is_good(header + start, end - start, &times, &signatures))
			return false;
		start = i + 1;
	}
	return times == 1 && signatures > 0;
}

int
LLVMFuzzerTestOneInput(const uint8 *input, size_t len)
{
	/* A copy of just this length, so that a byte read behind it is noticed. */
	char *header = memcpy(palloc(len), input, len);
	Signature signature;
	const char *problem = signature_parse(header, len, &signature);

	if ((problem == NULL) != header_is_good(header, len))
		stub_fail("%s: %.*s", problem ? problem : "taken", (int) len, header);
	if (problem == NULL)
	{
		char *digits = pnstrdup(signature.time_text, signature.time_len);

		if (strtoll(digits, NULL, 10) != signature.time)
			stub_fail("%s was read as " INT64_FORMAT, digits, signature.time);
		/* No secret has made it. */
		if (signature_matches(&signature, header, len, NIL))
			stub_fail("it was verified without a secret");
	}
	stub_reset();
	return 0;
}
