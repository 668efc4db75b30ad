/*
 * handler.c
 *	  The registry of job handlers.
 *
 * Filled from _PG_init() and never changed afterwards; an operation has one
 * handler at most.
 */
#include "postgres.h"

#include "api/operation.h"
#include "job/handler.h"

#define OPERATIONS_MAX 128

static const JobHandler *handlers[OPERATIONS_MAX]; /* by the operation's place in the catalogue */

/* From _PG_init(): have the jobs of an operation handled.  The handler stays the caller's. */
void
handler_register(const JobHandler *handler)
{
	const Operation *operation = operation_lookup(handler->operation);

	if (operation == NULL || operation - operation_table >= OPERATIONS_MAX ||
		handlers[operation - operation_table] != NULL)
		elog(ERROR, "operation \"%s\" cannot be handled", handler->operation);
	handlers[operation - operation_table] = handler;
}

/* The handler of an operation; one that does nothing if it has none, or is NULL. */
const JobHandler *
handler_find(const Operation *operation)
{
	static const JobHandler none = {0};

	if (operation == NULL || handlers[operation - operation_table] == NULL)
		return &none;
	return handlers[operation - operation_table];
}

/* Why no job of an operation can be sent now; NULL if they can. */
const char *
handler_hindrance(const Operation *operation)
{
	const JobHandler *handler = handler_find(operation);

	return handler->hindrance ? handler->hindrance() : NULL;
}
