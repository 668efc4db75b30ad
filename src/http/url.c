/*
 * url.c
 *	  URLs: their hosts, and what goes into them.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "lib/stringinfo.h"

#include "http/url.h"

/* The host of a plain https URL, in lower case; NULL for any other URL. */
char *
url_host(const char *url)
{
	CURLU *parsed = curl_url();
	char *scheme = NULL;
	char *host = NULL;
	char *user = NULL;
	char *result = NULL;

	if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		strcmp(scheme, "https") == 0 &&
		curl_url_get(parsed, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
		curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
	{
		result =
			MemoryContextAllocExtended(CurrentMemoryContext, strlen(host) + 1, MCXT_ALLOC_NO_OOM);
		for (size_t i = 0; result != NULL && i <= strlen(host); i++)
			result[i] = pg_ascii_tolower((unsigned char) host[i]);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(user);
	curl_url_cleanup(parsed);
	return result;
}

/* Append text percent-encoded: everything but RFC 3986's unreserved characters. */
void
url_append_encoded(StringInfo out, const char *text, int len)
{
	static const char unreserved[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (int i = 0; i < len; i++)
	{
		if (text[i] != '\0' && strchr(unreserved, text[i]) != NULL)
			appendStringInfoChar(out, text[i]);
		else
			appendStringInfo(out, "%%%02X", (unsigned char) text[i]);
	}
}
