/*
 * file_type.c
 *	  Documents that go to Summit: what they are, and how they travel.
 *
 * Pure.  What a document is follows from its bytes alone; a content type that
 * somebody states is something to compare with, never something to believe.
 */
#include "postgres.h"

#include <ctype.h>

#include "base/file_type.h"

#define SEARCHED 1024 /* bytes at either end in which the marks of a format are looked for */

/* The content types that Summit takes, and how people write them. */
static const struct
{
	const char *written;
	const char *content_type;
} content_types[] = {
	{"application/pdf", "application/pdf"},
	{"image/png", "image/png"},
	{"image/jpeg", "image/jpeg"},
	{"image/jpg", "image/jpeg"},
};

/* Where a mark is in the bytes; NULL = nowhere. */
static const char *
mark_find(const char *bytes, size_t len, const char *mark, size_t mark_len)
{
	for (size_t i = 0; i + mark_len <= len; i++)
		if (bytes[i] == mark[0] && memcmp(bytes + i, mark, mark_len) == 0)
			return bytes + i;
	return NULL;
}

/* Whether a mark is within the last SEARCHED bytes. */
static bool
ends_with(const char *bytes, size_t len, const char *mark, size_t mark_len)
{
	size_t searched = Min(len, SEARCHED);

	return mark_find(bytes + len - searched, searched, mark, mark_len) != NULL;
}

/* %PDF-1.x or %PDF-2.0 among the first bytes, %%EOF among the last. */
static bool
is_pdf(const char *bytes, size_t len)
{
	const char *head = mark_find(bytes, Min(len, SEARCHED), "%PDF-", 5);

	if (head == NULL || bytes + len - head < 8)
		return false;
	return ((head[5] == '1' && head[6] == '.' && isdigit((unsigned char) head[7])) ||
			memcmp(head + 5, "2.0", 3) == 0) &&
		   ends_with(bytes, len, "%%EOF", 5);
}

/* The signature, and a first chunk IHDR of 13 bytes. */
static bool
is_png(const char *bytes, size_t len)
{
	static const char head[] = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";

	return len >= 33 && memcmp(bytes, head, sizeof(head) - 1) == 0;
}

/* Start of image and a marker after it, and the end of image. */
static bool
is_jpeg(const char *bytes, size_t len)
{
	return len >= 5 && memcmp(bytes, "\xff\xd8\xff", 3) == 0 &&
		   ends_with(bytes + 3, len - 3, "\xff\xd9", 2);
}

/* The content type of a whole PDF, PNG or JPEG; NULL for anything else. */
const char *
file_type_of(const char *bytes, size_t len)
{
	if (is_png(bytes, len))
		return "image/png";
	if (is_jpeg(bytes, len))
		return "image/jpeg";
	return is_pdf(bytes, len) ? "application/pdf" : NULL;
}

/* A stated content type in its one spelling; NULL if Summit does not take it. */
const char *
file_type_read(const char *name, int len)
{
	for (int i = 0; i < lengthof(content_types); i++)
		if (strlen(content_types[i].written) == len &&
			pg_strncasecmp(content_types[i].written, name, len) == 0)
			return content_types[i].content_type;
	return NULL;
}
