/*
 * personal.c
 *	  What looks like personal data in a text.
 */
#include "postgres.h"

#include <ctype.h>

#include "privacy/personal.h"

/* somebody@host.tld, anywhere in the text */
static bool
looks_like_email(const char *text, int len)
{
	bool follows_at = false; /* in this run of visible characters */

	for (int i = 0; i < len; i++)
	{
		if (isspace((unsigned char) text[i]))
			follows_at = false;
		else if (text[i] == '@')
			follows_at |= i > 0 && !isspace((unsigned char) text[i - 1]);
		else if (text[i] == '.' && follows_at && text[i - 1] != '@' && i + 1 < len &&
				 isalpha((unsigned char) text[i + 1]))
			return true;
	}
	return false;
}

/* Groups of digits with nothing but the marks between them that people write into numbers. */
typedef struct Digits
{
	int groups[5]; /* digits in each */
	int count;     /* of groups */
	int area;      /* the first three digits */
	int exchange;  /* the fourth */
	bool plus;
	bool whole; /* they are the whole text */
} Digits;

/* Take the groups at *at, and move past them. */
static Digits
take_groups(const char *text, int len, int *at)
{
	Digits digits = {0};
	int start = *at;
	int total = 0;

	digits.plus = start > 0 && text[start - 1] == '+';
	for (int i = start; i < len && (isdigit((unsigned char) text[i]) || strchr(" ().-/", text[i]));
		 i++)
	{
		if (text[i] == '\0' || !isdigit((unsigned char) text[i]))
			continue;
		if (digits.count == 0 || !isdigit((unsigned char) text[i - 1]))
			digits.count++;
		if (digits.count <= lengthof(digits.groups))
			digits.groups[digits.count - 1]++;
		if (++total <= 3)
			digits.area = digits.area * 10 + (text[i] - '0');
		else if (total == 4)
			digits.exchange = text[i] - '0';
		*at = i + 1;
	}
	digits.whole = *at == len && strspn(text, " (+") >= start;
	return digits;
}

static bool
groups_are(const Digits *digits, int count, const int *groups)
{
	return digits->count == count && memcmp(digits->groups, groups, sizeof(int) * count) == 0;
}

/*
 * What groups of digits look like: a social security number (3-2-4, or 9 alone)
 * or a telephone number (3-3-4 with or without a 1 before it, 10 alone as in the
 * North American plan, or + and more).  Dates, ZIP codes and ids do not.
 */
static const char *
groups_look_like(const Digits *digits)
{
	if (groups_are(digits, 3, (int[]){3, 2, 4}) ||
		(digits->whole && groups_are(digits, 1, (int[]){9}) && digits->area > 0 &&
		 digits->area < 900))
		return "a social security number";
	if (groups_are(digits, 3, (int[]){3, 3, 4}) || groups_are(digits, 4, (int[]){1, 3, 3, 4}) ||
		groups_are(digits, 2, (int[]){3, 7}) || groups_are(digits, 2, (int[]){6, 4}))
		return "a telephone number";
	if (digits->plus && digits->count <= lengthof(digits->groups) &&
		digits->groups[0] + digits->groups[1] + digits->groups[2] + digits->groups[3] +
				digits->groups[4] >=
			8)
		return "a telephone number";
	if (digits->whole && groups_are(digits, 1, (int[]){10}) && digits->area >= 200 &&
		digits->exchange >= 2)
		return "a telephone number";
	if (digits->whole && groups_are(digits, 1, (int[]){11}) && digits->area / 100 == 1)
		return "a telephone number";
	return NULL;
}

/* Whether the digits at `at` go on what comes before them, as in A415 or L-42. */
static bool
is_continued(const char *text, int at)
{
	return (at > 0 && isalnum((unsigned char) text[at - 1])) ||
		   (at > 1 && strchr("-_/", text[at - 1]) != NULL && isalnum((unsigned char) text[at - 2]));
}

/* What the first digits in a text that look personal look like; NULL = none do. */
static const char *
looks_like_number(const char *text, int len)
{
	for (int i = 0; i < len; i++)
	{
		Digits digits;
		const char *what;

		if (!isdigit((unsigned char) text[i]) || is_continued(text, i))
			continue;
		digits = take_groups(text, len, &i);
		if (i < len && isalpha((unsigned char) text[i]))
			continue;
		what = groups_look_like(&digits);
		if (what != NULL)
			return what;
	}
	return NULL;
}

/* What a text looks like that looks personal, with its article; NULL = it does not. */
const char *
personal_find(const char *text, int len)
{
	return looks_like_email(text, len) ? "an e-mail address" : looks_like_number(text, len);
}
