/*
 * checksum.c
 *	  Check digits of numbers that people write into the wrong field.
 *
 * Pure.  Numbers come without the marks between their digits, letters in upper
 * case.
 */
#include "postgres.h"

#include <ctype.h>

#include "privacy/checksum.h"

/* Countries that have IBANs and how long theirs are (SWIFT IBAN registry, release 99). */
static const char *const iban_lengths[] = {
	[15] = "NO",
	[16] = "BE",
	[18] = "DKFIFKFOGLNLSD",
	[19] = "MKSI",
	[20] = "ATBAEEKZLTLUMNXK",
	[21] = "CHHRLILV",
	[22] = "BGBHCRDEGBGEIEMERSVA",
	[23] = "AEGIILIQOMSOTL",
	[24] = "ADCZESMDPKROSASESKTNVG",
	[25] = "LYPTST",
	[26] = "ISTR",
	[27] = "BIDJFRGRITMCMRSM",
	[28] = "ALAZBYCYDOGTHNHULBNIPLSV",
	[29] = "BREGPSQAUA",
	[30] = "JOKWMUYE",
	[31] = "MTSC",
	[32] = "LC",
	[33] = "RU",
};

static bool
is_digits(const char *number, int len)
{
	for (int i = 0; i < len; i++)
		if (!isdigit((unsigned char) number[i]))
			return false;
	return len > 0;
}

/* Luhn's sum over all digits: payment cards, Ontario health numbers. */
static bool
luhn_fits(const char *number, int len)
{
	int sum = 0;

	if (!is_digits(number, len))
		return false;
	for (int i = 0; i < len; i++)
	{
		int digit = number[len - 1 - i] - '0';

		if (i % 2 == 1)
			digit = digit > 4 ? digit * 2 - 9 : digit * 2;
		sum += digit;
	}
	return sum % 10 == 0;
}

/* An IBAN of its country's length: the first four moved after the rest, letters as 10 to 35. */
static bool
iban_fits(const char *number, int len)
{
	const char *countries = len < lengthof(iban_lengths) ? iban_lengths[len] : NULL;
	bool known = false;
	int rest = 0;

	if (countries == NULL)
		return false;
	for (const char *country = countries; *country != '\0'; country += 2)
		known |= strncmp(country, number, 2) == 0;
	for (int i = 0; known && i < len; i++)
	{
		char c = number[(i + 4) % len];

		rest = isdigit((unsigned char) c) ? rest * 10 + (c - '0') : rest * 100 + (c - 'A' + 10);
		rest %= 97;
	}
	return known && rest == 1;
}

/* A US routing number: a Federal Reserve prefix, and weights 3, 7, 1. */
static bool
aba_fits(const char *number, int len)
{
	static const int weights[] = {3, 7, 1};
	int sum = 0;
	int prefix;

	if (len != 9 || !is_digits(number, len))
		return false;
	for (int i = 0; i < len; i++)
		sum += weights[i % 3] * (number[i] - '0');
	prefix = (number[0] - '0') * 10 + (number[1] - '0');
	return sum > 0 && sum % 10 == 0 &&
		   (prefix <= 12 || (prefix >= 21 && prefix <= 32) || (prefix >= 61 && prefix <= 72) ||
			prefix == 80);
}

/* A personal health number of British Columbia: 9, eight weighted digits, their check digit. */
static bool
phn_fits(const char *number, int len)
{
	static const int weights[] = {2, 4, 8, 5, 10, 9, 7, 3};
	int sum = 0;

	if (len != 10 || !is_digits(number, len) || number[0] != '9')
		return false;
	for (int i = 0; i < lengthof(weights); i++)
		sum += (number[i + 1] - '0') * weights[i] % 11;
	return 11 - sum % 11 == number[9] - '0';
}

/* The check of this name; NULL if there is none. */
ChecksumFits
checksum_find(const char *name)
{
	static const struct
	{
		const char *name;
		ChecksumFits fits;
	} checksums[] = {{"luhn", luhn_fits},
					 {"iban", iban_fits},
					 {"aba", aba_fits},
					 {"phn", phn_fits}};

	for (int i = 0; i < lengthof(checksums); i++)
		if (strcmp(checksums[i].name, name) == 0)
			return checksums[i].fits;
	return NULL;
}
