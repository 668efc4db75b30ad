/*
 * chore.c
 *	  The registry of chores, and running those that are due.
 *
 * Filled from _PG_init().  A chore that fails costs nothing but its own
 * transaction, and is tried again.  None is waited for on disk: whatever is lost
 * with the commit is done again.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "engine/transaction.h"
#include "process/chore.h"

#define CHORES_MAX  16
#define CHORE_AGAIN 1000 /* ms until one that failed is tried again */

static Chore *chores[CHORES_MAX];
static int chore_count = 0;

/* From _PG_init().  The chore stays the caller's, in memory that lasts. */
void
chore_register(Chore *chore)
{
	if (chore_count == CHORES_MAX)
		elog(ERROR, "too many chores");
	chore->due_at = DT_NOEND;
	chore->not_before = DT_NOBEGIN;
	chores[chore_count++] = chore;
}

/* Have a chore run as soon as it may. */
void
chore_want(Chore *chore, TimestampTz now)
{
	chore->due_at = Min(chore->due_at, Max(now, chore->not_before));
}

/* The same for those that go with a look at everything. */
void
chores_want_at_scan(TimestampTz now)
{
	for (int i = 0; i < chore_count; i++)
		if (chores[i]->at_scan)
			chore_want(chores[i], now);
}

/* Run a chore, and note when the next time is. */
static void
chore_run(Chore *chore, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;

	chore->due_at = DT_NOEND;
	PG_TRY();
	{
		work_begin(chore->name);
		if (chore->gives_way)
			lock_patience(PATIENCE_SHORT);
		chore->due_at = chore->run(now);
		work_commit_later();
	}
	PG_CATCH();
	{
		ErrorData *error = work_abort(context);

		ereport(LOG, (errmsg("failed at %s: %s", chore->name, error->message)));
		/* What gives way to others does not ask again and again either: it goes with the next scan. */
		chore->due_at = chore->gives_way ? DT_NOEND : TimestampTzPlusMilliseconds(now, CHORE_AGAIN);
	}
	PG_END_TRY();
	if (chore->gives_way)
		lock_patience(PATIENCE_USUAL);
}

/* Run every chore that is due once. */
void
chores_run(TimestampTz now)
{
	for (int i = 0; i < chore_count; i++)
		if (chores[i]->due_at <= now)
			chore_run(chores[i], now);
}

/* When the next chore is due; DT_NOEND = none is before somebody wants one. */
TimestampTz
chores_next(void)
{
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < chore_count; i++)
		next = Min(next, chores[i]->due_at);
	return next;
}
