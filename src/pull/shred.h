/*
 * shred.h
 *	  The JSON of a pull as rows of its entities.
 */
#ifndef CANOPY_SUMMIT_PULL_SHRED_H
#define CANOPY_SUMMIT_PULL_SHRED_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "pull/entity.h"

/* What the rows of a pull say about where they are from. */
typedef struct RowOrigin
{
	const char *server;
	const char *pull_id;
	const char *environment;
	const char *account; /* NULL = stands alone */
	bool is_current;     /* views show them */
} RowOrigin;

/* Where a version differs from the table definitions; each a List of char * */
typedef struct Drift
{
	List *added;   /* fields without a column */
	List *retyped; /* fields whose value does not fit */
	List *missing; /* columns that some object of the entity had, and none has now */
} Drift;

extern EntityRows *shred(const RowOrigin *origin, Jsonb *pull, Jsonb *previous, Drift *drift);

#endif /* CANOPY_SUMMIT_PULL_SHRED_H */
