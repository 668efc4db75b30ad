/*
 * perform.h
 *	  One transfer that the caller waits for.
 */
#ifndef CANOPY_SUMMIT_HTTP_PERFORM_H
#define CANOPY_SUMMIT_HTTP_PERFORM_H

#include "postgres.h"

#include "http/transfer.h"

extern HttpResponse *http_perform(const HttpRequest *request);

#endif /* CANOPY_SUMMIT_HTTP_PERFORM_H */
