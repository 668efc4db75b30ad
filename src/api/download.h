/*
 * download.h
 *	  The second half of an operation that answers with a redirect to a file.
 */
#ifndef CANOPY_SUMMIT_API_DOWNLOAD_H
#define CANOPY_SUMMIT_API_DOWNLOAD_H

#include "postgres.h"

#include "http/transfer.h"
#include "server/connection.h"

extern HttpRequest *download_request(const Connection *connection, const HttpResponse *redirect);

#endif /* CANOPY_SUMMIT_API_DOWNLOAD_H */
