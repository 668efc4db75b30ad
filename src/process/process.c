/*
 * process.c
 *	  Background processes of ours: how they are described to PostgreSQL, and started.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "process/process.h"

/*
 * A background worker as PostgreSQL is asked for it: a kind of ours, which has
 * the entry point canopy_summit_<kind>_main(), and when it starts again by itself.
 */
BackgroundWorker
process_describe(const char *kind, int restart_time)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = restart_time;
	strlcpy(worker.bgw_library_name, "canopy_summit", BGW_MAXLEN);
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "canopy_summit_%s_main", kind);
	snprintf(worker.bgw_name, BGW_MAXLEN, "canopy_summit %s", kind);
	snprintf(worker.bgw_type, BGW_MAXLEN, "canopy_summit %s", kind);
	return worker;
}

/* Start such a process, whose end will wake this one.  Its handle, in TopMemoryContext; NULL if no worker slot is free. */
BackgroundWorkerHandle *
process_start(BackgroundWorker *worker)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	BackgroundWorkerHandle *handle;
	bool started;

	worker->bgw_notify_pid = MyProcPid;
	started = RegisterDynamicBackgroundWorker(worker, &handle);
	MemoryContextSwitchTo(old);
	return started ? handle : NULL;
}

/* Be a process: begin, and then one turn after the other; an error ends it. */
void
process_run(void (*begin)(void *process), void (*turn)(void *process), void *process)
{
	PG_TRY();
	{
		begin(process);
		for (;;)
			turn(process);
	}
	PG_CATCH();
	{
		/* The launcher decides when to try again; one line in the log is enough. */
		EmitErrorReport();
		proc_exit(0);
	}
	PG_END_TRY();
	pg_unreachable();
}
