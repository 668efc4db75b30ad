/*
 * enqueue_found.h
 *	  Jobs of the caller's for what the engine finds.
 */
#ifndef CANOPY_SUMMIT_CANOPY_ENQUEUE_FOUND_H
#define CANOPY_SUMMIT_CANOPY_ENQUEUE_FOUND_H

#include "postgres.h"

#include "engine/statement.h"

extern int64 enqueue_found(const char *server, Statement *find, Datum *arguments, int priority);

#endif /* CANOPY_SUMMIT_CANOPY_ENQUEUE_FOUND_H */
