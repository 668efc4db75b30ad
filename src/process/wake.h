/*
 * wake.h
 *	  How a COMMIT wakes those who send.
 */
#ifndef CANOPY_SUMMIT_PROCESS_WAKE_H
#define CANOPY_SUMMIT_PROCESS_WAKE_H

#include "postgres.h"

#include "utils/timestamp.h"

extern void wake_initialize(void);
extern void wake_launcher(void);
extern void wake_now(void);
extern void wake_at_commit(TimestampTz run_at);
extern void wake_for_webhooks(void);
extern void wake_notice_absence(void);

#endif /* CANOPY_SUMMIT_PROCESS_WAKE_H */
