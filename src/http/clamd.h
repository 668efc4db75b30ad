/*
 * clamd.h
 *	  Bytes shown to a virus scanner.
 */
#ifndef CANOPY_SUMMIT_HTTP_CLAMD_H
#define CANOPY_SUMMIT_HTTP_CLAMD_H

#include "postgres.h"

#include "http/loop.h"

typedef enum ScanVerdict
{
	SCAN_PENDING,
	SCAN_CLEAN,
	SCAN_INFESTED,  /* VirusScan.signature says by what */
	SCAN_TOO_LARGE, /* for the scanner: its StreamMaxLength */
	SCAN_FAILED     /* the scanner gave no verdict: VirusScan.problem */
} ScanVerdict;

typedef struct VirusScan
{
	ScanVerdict verdict;
	const char *signature; /* what the scanner calls the virus; words of printable ASCII */
	const char *problem;   /* for a message */
} VirusScan;

/* Called once when there is a verdict, from the loop or from scan_start(). */
typedef void (*ScanDone)(VirusScan *scan, void *argument);

extern char *setting_clamd_socket; /* empty = there is no scanner */

extern void clamd_settings(void);
extern bool clamd_is_set(void);
extern const char *clamd_problem(void);
extern VirusScan *scan_start(HttpLoop *loop, const char *bytes, size_t len, int timeout,
							 ScanDone done, void *argument);
extern VirusScan *scan_perform(const char *bytes, size_t len, int timeout);

#endif /* CANOPY_SUMMIT_HTTP_CLAMD_H */
