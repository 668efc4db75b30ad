/*
 * source_row.h
 *	  The row of an app's own table that a trigger of ours has fired for.
 */
#ifndef CANOPY_SUMMIT_SUMMIT_SOURCE_ROW_H
#define CANOPY_SUMMIT_SUMMIT_SOURCE_ROW_H

#include "postgres.h"

#include "commands/trigger.h"
#include "utils/jsonb.h"

extern char *source_row_table(const TriggerData *trigger);
extern Jsonb *source_row_key(const TriggerData *trigger, HeapTuple row);

#endif /* CANOPY_SUMMIT_SUMMIT_SOURCE_ROW_H */
