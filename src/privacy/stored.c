/*
 * stored.c
 *	  How what is kept as it came is read.
 *
 * Nobody reads the columns of pulls, webhooks' bodies and responses but by the functions
 * of sql/privacy/stored.sql, so that the way they are kept may change here alone.
 */
#include "postgres.h"

#include "fmgr.h"

PG_FUNCTION_INFO_V1(canopy_summit_stored);

/* canopy_summit.stored_pull(jsonb) and the like: the value that a column holds, which is kept as it came */
Datum
canopy_summit_stored(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}
