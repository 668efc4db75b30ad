/*
 * arguments.h
 *	  Arguments of an SQL function as members of a JSON object.
 */
#ifndef CANOPY_SUMMIT_CANOPY_ARGUMENTS_H
#define CANOPY_SUMMIT_CANOPY_ARGUMENTS_H

#include "postgres.h"

#include "fmgr.h"

#include "base/jsonb_build.h"

typedef enum ArgumentType
{
	ARGUMENT_TEXT,
	ARGUMENT_BOOLEAN,
	ARGUMENT_INTEGER,
	ARGUMENT_NUMERIC,
	ARGUMENT_JSON,
	ARGUMENT_DATE,     /* 2026-01-31 */
	ARGUMENT_BIRTH,    /* 01/31/2026, as member <name>_str */
	ARGUMENT_ELSEWHERE /* no member */
} ArgumentType;

/* An argument, and the member of its name, or of another; a list of them ends with one without a name. */
typedef struct MemberArgument
{
	const char *name;
	bool required;
	ArgumentType type;
	const char *member; /* NULL = that name */
} MemberArgument;

extern int
arguments_add(JsonBuilder *builder, FunctionCallInfo fcinfo, const MemberArgument *arguments);

#endif /* CANOPY_SUMMIT_CANOPY_ARGUMENTS_H */
