/*
 * confidential.h
 *	  SQL functions whose arguments may be secret or personal.
 */
#ifndef CANOPY_SUMMIT_BASE_CONFIDENTIAL_H
#define CANOPY_SUMMIT_BASE_CONFIDENTIAL_H

#include "postgres.h"

#include "fmgr.h"

/*
 * Declares an SQL function whose body is <name>_confidential(PG_FUNCTION_ARGS):
 * whatever is raised inside keeps the statement that called it, and its context,
 * out of the server log.
 */
#define CONFIDENTIAL_FUNCTION(name)                            \
	static Datum name##_confidential(PG_FUNCTION_ARGS);        \
	PG_FUNCTION_INFO_V1(name);                                 \
	Datum name(PG_FUNCTION_ARGS)                               \
	{                                                          \
		return confidential_call(name##_confidential, fcinfo); \
	}                                                          \
	extern Datum name(PG_FUNCTION_ARGS)

extern Datum confidential_call(PGFunction body, FunctionCallInfo fcinfo);

#endif /* CANOPY_SUMMIT_BASE_CONFIDENTIAL_H */
