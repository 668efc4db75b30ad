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

#define HANDLERS_MAX 64

static const JobHandler *handlers[HANDLERS_MAX];
static int handler_count = 0;

/* From _PG_init(): have the jobs of an operation handled.  The handler stays the caller's. */
void
handler_register(const JobHandler *handler)
{
	if (handler_count == HANDLERS_MAX)
		elog(ERROR, "too many job handlers");
	handlers[handler_count++] = handler;
}

/* The handler of an operation; one that does nothing if it has none, or is NULL. */
const JobHandler *
handler_find(const Operation *operation)
{
	static const JobHandler none = {0};

	for (int i = 0; operation != NULL && i < handler_count; i++)
		if (strcmp(handlers[i]->operation, operation->name) == 0)
			return handlers[i];
	return &none;
}

/* Why no job of an operation can be sent now; NULL if they can. */
const char *
handler_hindrance(const Operation *operation)
{
	const JobHandler *handler = handler_find(operation);

	return handler->hindrance ? handler->hindrance() : NULL;
}
