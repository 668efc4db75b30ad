/*
 * servicing_schema.h
 *	  What a servicing action says.
 */
#ifndef CANOPY_SUMMIT_CANOPY_SERVICING_SCHEMA_H
#define CANOPY_SUMMIT_CANOPY_SERVICING_SCHEMA_H

#include "postgres.h"

#include "utils/jsonb.h"

extern void servicing_check_actions(Jsonb *actions);
extern void servicing_check_payload(const char *type, Jsonb *payload);

#endif /* CANOPY_SUMMIT_CANOPY_SERVICING_SCHEMA_H */
