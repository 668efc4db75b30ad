/*
 * download.c
 *	  The second half of an operation that answers with a redirect to a file: its
 *	  signed URL is followed once, by a request that knows no credential, to a host
 *	  that the server's option download_hosts allows.
 */
#include "postgres.h"

#include "nodes/pg_list.h"

#include "api/download.h"
#include "api/request.h"
#include "http/transfer.h"
#include "http/url.h"
#include "server/connection.h"

/* Whether files may be downloaded from the host of the URL. */
static bool
is_download_host(const Connection *connection, const char *url)
{
	char *host = url_host(url);
	ListCell *cell;

	foreach(cell, connection->download_hosts)
		if (host != NULL && strcmp(host, lfirst(cell)) == 0)
			return true;
	return false;
}

/* The request for the file, in the current memory context; NULL if it is not to be sent. */
HttpRequest *
download_request(const Connection *connection, const HttpResponse *redirect)
{
	HttpRequest *download;

	if (redirect->location == NULL || !is_download_host(connection, redirect->location))
		return NULL;
	download = palloc0(sizeof(HttpRequest));
	download->method = "GET";
	download->url = redirect->location;
	download->ca_file = connection->ca_file;
	download->allow_private_addresses = connection->allow_private_addresses;
	download->connect_timeout = connection->connect_timeout;
	download->timeout = connection->timeout;
	download->max_size = (size_t) setting_max_document_size * 1024;
	return download;
}
