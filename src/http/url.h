/*
 * url.h
 *	  URLs: their hosts, and what goes into them.
 */
#ifndef CANOPY_SUMMIT_HTTP_URL_H
#define CANOPY_SUMMIT_HTTP_URL_H

#include "postgres.h"

#include "lib/stringinfo.h"

extern char *url_host(const char *url);
extern void url_append_encoded(StringInfo out, const char *text, int len);

#endif /* CANOPY_SUMMIT_HTTP_URL_H */
