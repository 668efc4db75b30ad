/*
 * scanner.c
 *	  The virus scanner as jobs meet it: what it last said, what may do without
 *	  its verdict, and when it is asked again.
 *
 * A scanner that gives no verdict fails no job: jobs wait for it, and
 * canopy_summit.server_health says why.
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "utils/guc.h"

#include "base/backoff.h"
#include "http/clamd.h"
#include "job/scanner.h"
#include "process/shared.h"

#define SCANNER_PAUSE \
	(60 * 1000) /* ms until a scanner that failed is tried again, and half as much */

bool setting_require_scan;

static bool scanner_failed = false; /* when this process last asked it */

/* What may do without a verdict. */
void
scanner_settings(void)
{
	DefineCustomBoolVariable(
		"canopy_summit.require_scan",
		"Keeps documents out, and from being uploaded, that no virus scanner has found clean.",
		NULL, &setting_require_scan, false, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* Note why the scanner gave no verdict, or NULL that it did. */
void
scanner_note(const char *problem)
{
	scanner_failed = problem != NULL;
	if (shared == NULL || strncmp(shared->scan_problem, problem ? problem : "",
								  sizeof(shared->scan_problem) - 1) == 0)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	strlcpy(shared->scan_problem, problem ? problem : "", sizeof(shared->scan_problem));
	LWLockRelease(shared->lock);
}

/* Why the scanner cannot be asked now, as JobHandler.hindrance: it does not listen.  That it does is no verdict yet. */
const char *
scanner_hindrance(void)
{
	const char *problem = clamd_problem();

	if (problem != NULL)
		scanner_note(problem);
	return problem;
}

/* Whether the scanner gave no verdict when this process last asked it. */
bool
scanner_has_failed(void)
{
	return scanner_failed;
}

/* Milliseconds until a job asks again a scanner that has failed. */
int64
scanner_pause(void)
{
	return backoff_spread(SCANNER_PAUSE, 0.5);
}

/* What to call what the scanner said; it was not asked if `scan` is NULL. */
const char *
scanner_word(const VirusScan *scan)
{
	if (scan == NULL)
		return "not scanned";
	return scan->verdict == SCAN_CLEAN      ? "clean"
		   : scan->verdict == SCAN_INFESTED ? "infested"
											: "too large to scan";
}
