/*
 * scanner.h
 *	  The virus scanner as jobs meet it.
 */
#ifndef CANOPY_SUMMIT_JOB_SCANNER_H
#define CANOPY_SUMMIT_JOB_SCANNER_H

#include "postgres.h"

#include "http/clamd.h"

extern bool setting_require_scan;

extern void scanner_settings(void);
extern void scanner_note(const char *problem);
extern const char *scanner_hindrance(void);
extern bool scanner_has_failed(void);
extern int64 scanner_pause(void);
extern const char *scanner_word(const VirusScan *scan);

#endif /* CANOPY_SUMMIT_JOB_SCANNER_H */
