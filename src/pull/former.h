/*
 * former.h
 *	  Names that a server had, and that some of its rows still have.
 */
#ifndef CANOPY_SUMMIT_PULL_FORMER_H
#define CANOPY_SUMMIT_PULL_FORMER_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern List *former_names(const char *server);
extern void former_forget(void);

#endif /* CANOPY_SUMMIT_PULL_FORMER_H */
