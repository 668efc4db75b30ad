/*
 * hold.h
 *	  What keeps jobs queued: of a server that is paused, or of a role whose
 *	  credential was refused.
 */
#ifndef CANOPY_SUMMIT_WORKER_HOLD_H
#define CANOPY_SUMMIT_WORKER_HOLD_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "worker/flight.h"

typedef struct Hold
{
	Oid server_oid;
	Oid owner_oid; /* InvalidOid = everybody's jobs wait */
	const char *server;
	const char *owner;
	const bytea *hash; /* of the refused credential; NULL = it could not be used at all */
} Hold;

extern void hold_write(const Flight *flight);
extern List *holds_read(void);
extern bool hold_end_if_over(const Hold *hold);

#endif /* CANOPY_SUMMIT_WORKER_HOLD_H */
