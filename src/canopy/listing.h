/*
 * listing.h
 *	  Lists of things that the API has, page by page.
 */
#ifndef CANOPY_SUMMIT_CANOPY_LISTING_H
#define CANOPY_SUMMIT_CANOPY_LISTING_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "job/job.h"

#define LISTING_PAGE 100 /* the most that the API gives at once */

extern int64
listing_start(const char *server, const char *what, const char *operation, Jsonb *page);

/* The caller is inside engine_begin() */
extern void listing_go_on(const Job *job, Jsonb *change);

#endif /* CANOPY_SUMMIT_CANOPY_LISTING_H */
