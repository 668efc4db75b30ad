/*
 * transaction.h
 *	  Transactions of background processes.
 */
#ifndef CANOPY_SUMMIT_ENGINE_TRANSACTION_H
#define CANOPY_SUMMIT_ENGINE_TRANSACTION_H

#include "postgres.h"

/* How long to wait for each lock.  To extend a table is one, too, which a slow disk makes last. */
#define PATIENCE_USUAL "1s"
#define PATIENCE_BATCH \
	"100ms" /* where others wait for what is at stake, and it is done one by one if this fails */
#define PATIENCE_SHORT "5ms" /* where others wait for what is at stake */

extern void work_cancel(SIGNAL_ARGS);
extern void work_begin(const char *activity);
extern void work_commit(void);
extern void work_commit_later(void);
extern void work_rollback(void);
extern ErrorData *work_abort(MemoryContext context);
extern void lock_patience(const char *patience);
extern void look_begin(void);
extern void look_end(void);

#endif /* CANOPY_SUMMIT_ENGINE_TRANSACTION_H */
