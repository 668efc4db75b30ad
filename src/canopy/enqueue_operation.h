/*
 * enqueue_operation.h
 *	  The job that a function of this API enqueues.
 */
#ifndef CANOPY_SUMMIT_CANOPY_ENQUEUE_OPERATION_H
#define CANOPY_SUMMIT_CANOPY_ENQUEUE_OPERATION_H

#include "postgres.h"

#include "utils/jsonb.h"

extern int64 enqueue_operation(const char *server, const char *operation, Jsonb *params,
							   Jsonb *body, const char *ordering_key);

#endif /* CANOPY_SUMMIT_CANOPY_ENQUEUE_OPERATION_H */
