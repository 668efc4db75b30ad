/*
 * params.h
 *	  The parameters and bodies of operations, built field by field.
 */
#ifndef CANOPY_SUMMIT_API_PARAMS_H
#define CANOPY_SUMMIT_API_PARAMS_H

#include "postgres.h"

#include "utils/jsonb.h"

extern void param_add_text(JsonbParseState **state, const char *name, const char *text);
extern void param_add_boolean(JsonbParseState **state, const char *name, bool boolean);
extern Jsonb *params_finish(JsonbParseState **state);

#endif /* CANOPY_SUMMIT_API_PARAMS_H */
