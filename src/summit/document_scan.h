/*
 * document_scan.h
 *	  Documents of an upload, shown to the virus scanner before they are sent.
 */
#ifndef CANOPY_SUMMIT_SUMMIT_DOCUMENT_SCAN_H
#define CANOPY_SUMMIT_SUMMIT_DOCUMENT_SCAN_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "job/handler.h"
#include "job/settlement.h"

extern void documents_check_scan(Jsonb *body);
extern void
documents_scan(Settlement *settlement, HttpLoop *loop, int timeout, StepDone done, void *argument);
extern int64 documents_retry_delay(const Settlement *settlement, int attempts, long retry_after);

#endif /* CANOPY_SUMMIT_SUMMIT_DOCUMENT_SCAN_H */
