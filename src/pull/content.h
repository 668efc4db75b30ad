/*
 * content.h
 *	  The content of a pull's JSON: its hash, and what is carried over from one
 *	  state to the next.
 */
#ifndef CANOPY_SUMMIT_PULL_CONTENT_H
#define CANOPY_SUMMIT_PULL_CONTENT_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "base/digest.h"

#define CONTENT_HASH_LENGTH DIGEST_LENGTH

extern bool content_hash(Jsonb *json, uint8 *hash);
extern bool content_lacks_property_data(Jsonb *pull, bool *has_any);
extern Jsonb *content_carry_property_data(Jsonb *pull, Jsonb *previous);

#endif /* CANOPY_SUMMIT_PULL_CONTENT_H */
