/*
 * task.h
 *	  Work that takes long: started in a transaction, done by batches after its
 *	  COMMIT, each in a transaction of its own.
 *
 * Rooms above register what kinds there are.  A kind without `batch` has no
 * parts: whoever does its work, such as the handler of a job, notes in the task's
 * row how far it is, in the transaction of what is done.
 */
#ifndef CANOPY_SUMMIT_TASK_TASK_H
#define CANOPY_SUMMIT_TASK_TASK_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* What a batch works on: a row of canopy_summit.task_part, which it has locked. */
typedef struct TaskPart
{
	int64 task_id;
	int64 part;
	Jsonb *args;     /* of the task */
	Jsonb *position; /* what it is about; NULL = the task begins, and this makes its parts */
	int64 done;      /* out: how much this batch has done */
	int64 total;     /* out: how much the task has to do, -1 = as it was */
	Jsonb *next;     /* out: where the next batch goes on; NULL = this part is done */
} TaskPart;

typedef struct TaskKind
{
	const char *what; /* "remap" */

	/* Works on a part for some tens of milliseconds.  Inside engine_begin() and a subtransaction: an error undoes it. */
	void (*batch)(TaskPart *part);

	/* Makes smaller parts of one that failed, by INSERT; false if it is as small as can be.  May be NULL. */
	bool (*divide)(TaskPart *part);

	bool leaves_nothing; /* its row goes when it is done */
} TaskKind;

extern void task_kind_register(TaskKind *kind);
extern int64
task_start(const char *what, const char *server, Oid server_oid, Jsonb *args, Oid role);
extern TimestampTz task_run(TimestampTz now);
extern void task_register(void);

#endif /* CANOPY_SUMMIT_TASK_TASK_H */
