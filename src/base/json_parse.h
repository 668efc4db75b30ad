/*
 * json_parse.h
 *	  JSON text to jsonb, by PostgreSQL's parser.
 */
#ifndef CANOPY_SUMMIT_BASE_JSON_PARSE_H
#define CANOPY_SUMMIT_BASE_JSON_PARSE_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Why a text cannot be jsonb. */
typedef enum JsonRefusal
{
	JSON_TAKEN, /* it can */
	JSON_MALFORMED,
	JSON_UNFIT, /* has a character or a number that cannot stay */
	JSON_TOO_DEEP
} JsonRefusal;

extern Jsonb *json_parse(const char *text, size_t len, JsonRefusal *refusal);

#endif /* CANOPY_SUMMIT_BASE_JSON_PARSE_H */
