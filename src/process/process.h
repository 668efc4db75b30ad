/*
 * process.h
 *	  Background processes of ours.
 */
#ifndef CANOPY_SUMMIT_PROCESS_PROCESS_H
#define CANOPY_SUMMIT_PROCESS_PROCESS_H

#include "postgres.h"

#include "postmaster/bgworker.h"

#include "base/compat.h"

extern BackgroundWorker process_describe(const char *kind, int restart_time);
extern BackgroundWorkerHandle *process_start(BackgroundWorker *worker);
pg_noreturn extern void
process_run(void (*begin)(void *process), void (*turn)(void *process), void *process);

#endif /* CANOPY_SUMMIT_PROCESS_PROCESS_H */
