/*
 * kind.h
 *	  The registry of kinds of tasks, and how far tasks are.
 */
#ifndef CANOPY_SUMMIT_TASK_KIND_H
#define CANOPY_SUMMIT_TASK_KIND_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "task/task.h"

extern TaskKind *task_kind_find(const char *what);
extern List *task_kinds_done_here(void);
extern void task_advance(int64 task_id, int64 done, int64 total);

#endif /* CANOPY_SUMMIT_TASK_KIND_H */
