/*
 * html.h
 *	  HTML from a carrier, made safe to show.
 */
#ifndef CANOPY_SUMMIT_BASE_HTML_H
#define CANOPY_SUMMIT_BASE_HTML_H

#include "postgres.h"

#define HTML_MAX_SIZE 16384 /* bytes that are read, and bytes that are written */
#define HTML_MAX_OPEN 16    /* elements in one another in what is written */
#define HTML_MAX_HREF 2048  /* bytes of a link's target */
#define HTML_CUT_MARK "…"   /* where something is missing because of HTML_MAX_SIZE */
#define HTML_LINK_REL "noopener noreferrer nofollow"

extern char *html_sanitize(const char *html, size_t len, size_t *clean_len);

#endif /* CANOPY_SUMMIT_BASE_HTML_H */
