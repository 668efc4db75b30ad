/*
 * head.c
 *	  The head of a request: what its headers say, and whether they are such that
 *	  a proxy cannot have read them otherwise.
 *
 * libmicrohttpd calls from here only what neither raises an error nor allocates.
 */
#include "postgres.h"

#include <ctype.h>
#include <microhttpd.h>

#include "receiver/head.h"

/*
 * libmicrohttpd before 1.0 ends a name or a value at a NUL, and a line at a bare
 * LF; it gives away pointers into the bytes that were received, and what is
 * between them shows such things.
 */
static bool
is_lenient(void)
{
	return strncmp(MHD_get_version(), "0.", 2) == 0;
}

static bool
is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Whether a header's name is a token, and its value without control characters (RFC 9110, sections 5.1 and 5.5). */
static bool
header_is_wellformed(const char *name, size_t name_len, const char *value, size_t value_len)
{
	for (size_t i = 0; i < name_len; i++)
		if (!is_alphanumeric(name[i]) &&
			(name[i] == '\0' || strchr("!#$%&'*+-.^_`|~", name[i]) == NULL))
			return false;
	for (size_t i = 0; i < value_len; i++)
		if (((unsigned char) value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
			return false;
	return name_len > 0;
}

/* Look at a header that libmicrohttpd has read: whether it has read what is there. */
static void
header_check(HeaderScan *scan, const char *name, size_t name_len, const char *value,
			 size_t value_len)
{
	if (!header_is_wellformed(name, name_len, value, value_len) ||
		(scan->next != NULL && name != scan->next))
		scan->is_malformed = true;
	if (scan->next != NULL)
		scan->next = value + value_len + strlen("\r\n");
}

/* libmicrohttpd callback: one header. */
static enum MHD_Result
on_header(void *argument, enum MHD_ValueKind kind, const char *name, size_t name_len,
		  const char *value, size_t value_len)
{
	HeaderScan *scan = argument;

	header_check(scan, name, name_len, value ? value : "", value_len);
	if (pg_strcasecmp(name, "host") == 0)
		scan->hosts++;
	else if (pg_strcasecmp(name, "content-length") == 0)
	{
		scan->lengths++;
		scan->content_length = strtoull(value ? value : "", NULL, 10);
	}
	else if (pg_strcasecmp(name, "transfer-encoding") == 0)
	{
		scan->encodings++;
		scan->is_chunked = value != NULL && pg_strcasecmp(value, "chunked") == 0;
	}
	scan->len += name_len + value_len + 2;
	return MHD_YES;
}

/*
 * Read the headers of a request that is of this method, version and uri, whose
 * NUL is at uri_end.  Whether they and the first line are all that there is,
 * scan->is_malformed tells.
 */
void
head_scan(struct MHD_Connection *connection, const char *method, const char *uri_end,
		  const char *version, HeaderScan *scan)
{
	const union MHD_ConnectionInfo *info;

	if (is_lenient())
	{
		scan->is_malformed = uri_end == NULL || uri_end + 1 != version;
		scan->next = version + strlen(version) + strlen("\r\n");
	}
	(void) MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header, scan);
	if (scan->next == NULL)
		return;
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (info == NULL || scan->next + strlen("\r\n") != method + info->header_size)
		scan->is_malformed = true;
}

/* libmicrohttpd callback: copy one header. */
static enum MHD_Result
on_copy(void *argument, enum MHD_ValueKind kind, const char *name, size_t name_len,
		const char *value, size_t value_len)
{
	char **to = argument;

	memcpy(*to, name, name_len);
	*to += name_len;
	*(*to)++ = '\0';
	if (value != NULL)
		memcpy(*to, value, value_len);
	*to += value_len;
	*(*to)++ = '\0';
	return MHD_YES;
}

/* Copy the headers of a request as "name\0value\0name\0value\0": as many bytes as head_scan() has counted. */
void
head_copy(struct MHD_Connection *connection, char *to)
{
	(void) MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_copy, &to);
}

/* The value of two hex digits; 0 if they are not hex. */
static char
percent_decode(const char *digits)
{
	char text[3] = {digits[0], digits[0] ? digits[1] : '\0'};

	if (!isxdigit((unsigned char) text[0]) || !isxdigit((unsigned char) text[1]))
		return '\0';
	return (char) strtol(text, NULL, 16);
}

/* Decode a path, as much of it as there is room for; false if what follows a percent sign is not a character. */
bool
head_decode_path(const char *url, char *path, size_t size)
{
	size_t len = 0;

	while (*url != '\0')
	{
		char c = *url++;

		if (c == '%')
		{
			c = percent_decode(url);
			if (c == '\0')
				return false;
			url += 2;
		}
		if (len < size - 1)
			path[len++] = c;
	}
	path[len] = '\0';
	return true;
}
