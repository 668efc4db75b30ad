/*
 * metadata.h
 *	  Metadata that goes to Canopy with a consumer, and comes back with the pull.
 */
#ifndef CANOPY_SUMMIT_CANOPY_METADATA_H
#define CANOPY_SUMMIT_CANOPY_METADATA_H

#include "postgres.h"

#include "utils/jsonb.h"

extern void metadata_check(Jsonb *metadata);

#endif /* CANOPY_SUMMIT_CANOPY_METADATA_H */
