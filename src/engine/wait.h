/*
 * wait.h
 *	  Waiting for the end of something that others do.
 */
#ifndef CANOPY_SUMMIT_ENGINE_WAIT_H
#define CANOPY_SUMMIT_ENGINE_WAIT_H

#include "postgres.h"

#include "engine/statement.h"

/* Something that one can wait for the end of. */
typedef struct Waited
{
	const char *noun;
	const char *done; /* "sent": what happens to it after COMMIT */
	Statement
		select; /* of its id: state, whether that is not an end, xmin, and what `report` reads */
	void (*report)(Record *record); /* says once in a while how far it is; NULL = nobody does */
} Waited;

extern char *wait_for_end(Waited *waited, int64 id, Datum timeout);

#endif /* CANOPY_SUMMIT_ENGINE_WAIT_H */
