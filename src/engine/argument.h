/*
 * argument.h
 *	  Arguments of SQL functions.
 */
#ifndef CANOPY_SUMMIT_ENGINE_ARGUMENT_H
#define CANOPY_SUMMIT_ENGINE_ARGUMENT_H

#include "postgres.h"

#include "fmgr.h"

#include "engine/values.h"

extern const char *argument_name(FunctionCallInfo fcinfo, int number);
extern void argument_add(Values *values, FunctionCallInfo fcinfo, int number);
extern const char *argument_required(FunctionCallInfo fcinfo, int number, const char *name);

#endif /* CANOPY_SUMMIT_ENGINE_ARGUMENT_H */
