/*
 * transaction.h
 *	  Transactions of background processes.
 */
#ifndef CANOPY_SUMMIT_ENGINE_TRANSACTION_H
#define CANOPY_SUMMIT_ENGINE_TRANSACTION_H

#include "postgres.h"

extern void work_cancel(SIGNAL_ARGS);
extern void work_begin(const char *activity);
extern void work_commit(void);
extern void work_commit_later(void);
extern void work_rollback(void);
extern ErrorData *work_abort(MemoryContext context);
extern void lock_patience(bool is_short);
extern void look_begin(void);
extern void look_end(void);

#endif /* CANOPY_SUMMIT_ENGINE_TRANSACTION_H */
