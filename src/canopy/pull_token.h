/*
 * pull_token.h
 *	  Tokens of pulls that answers to jobs bring.
 */
#ifndef CANOPY_SUMMIT_CANOPY_PULL_TOKEN_H
#define CANOPY_SUMMIT_CANOPY_PULL_TOKEN_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern void pull_tokens_keep(List *settlements);

#endif /* CANOPY_SUMMIT_CANOPY_PULL_TOKEN_H */
