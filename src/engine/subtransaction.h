/*
 * subtransaction.h
 *	  Something that may fail, and costs nothing else then.
 */
#ifndef CANOPY_SUMMIT_ENGINE_SUBTRANSACTION_H
#define CANOPY_SUMMIT_ENGINE_SUBTRANSACTION_H

#include "postgres.h"

extern ErrorData *
subtransaction_run(Oid role, void (*body)(void *argument), void *argument, MemoryContext context);

#endif /* CANOPY_SUMMIT_ENGINE_SUBTRANSACTION_H */
