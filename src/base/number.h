/*
 * number.h
 *	  Numbers that no column holds.
 */
#ifndef CANOPY_SUMMIT_BASE_NUMBER_H
#define CANOPY_SUMMIT_BASE_NUMBER_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/*
 * Digits before or after the point that a number may have when it is written out.  A bigint
 * has 19, an amount of money 14; a numeric column could hold thousands, out of five bytes.
 */
#define NUMBER_MAX_DIGITS 100

extern bool number_is_beyond(const char *number, int len);
extern bool number_value_is_beyond(Numeric value);
extern Jsonb *number_spell(Jsonb *json, List **replaced);

#endif /* CANOPY_SUMMIT_BASE_NUMBER_H */
