/*
 * chore.h
 *	  What a worker does besides jobs, each in a transaction of its own: rooms
 *	  above and below register it.
 */
#ifndef CANOPY_SUMMIT_PROCESS_CHORE_H
#define CANOPY_SUMMIT_PROCESS_CHORE_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef struct Chore
{
	const char *name; /* "removing what is old" */

	/*
	 * Does some of it, and returns when the next should be: now, if what is left should not
	 * wait, or DT_NOEND.  Inside engine_begin(); an error undoes it and is logged.
	 */
	TimestampTz (*run)(TimestampTz now);

	bool at_scan;   /* due whenever the worker looks at everything */
	bool gives_way; /* waits for no lock longer than a moment */

	TimestampTz due_at;     /* DT_NOEND = when it is wanted */
	TimestampTz not_before; /* though it is wanted */
} Chore;

extern void chore_register(Chore *chore);
extern void chore_want(Chore *chore, TimestampTz now);
extern void chores_want_at_scan(TimestampTz now);
extern void chores_run(TimestampTz now);
extern TimestampTz chores_next(void);

#endif /* CANOPY_SUMMIT_PROCESS_CHORE_H */
