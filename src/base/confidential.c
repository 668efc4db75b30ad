/*
 * confidential.c
 *	  SQL functions whose arguments may be secret or personal.
 *
 * log_min_error_statement has the server write down the statement of an error,
 * with the values in its text, and the context, with the statements of callers.
 * PostgreSQL asks every function on the error context stack for its part of the
 * context: that is where an error is told to leave both out, wherever below it
 * was raised.  What PostgreSQL refuses before it calls the function, such as a
 * literal that is not JSON, and what it does after, is beyond reach.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/confidential.h"

/* Whatever is being raised: a message of any level.  What breaks a constraint has the whole row for its detail. */
static void
hide_statement(void *argument)
{
	(void) errhidestmt(true);
	(void) errhidecontext(true);
	if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		(void) errdetail_log("The row is not shown.");
}

/* Run the body of a function; an error unwinds the stack by itself. */
Datum
confidential_call(PGFunction body, FunctionCallInfo fcinfo)
{
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = hide_statement};
	Datum result;

	error_context_stack = &callback;
	result = body(fcinfo);
	error_context_stack = callback.previous;
	return result;
}
