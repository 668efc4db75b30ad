/*
 * personal.h
 *	  What looks like personal data in a text.
 */
#ifndef CANOPY_SUMMIT_PRIVACY_PERSONAL_H
#define CANOPY_SUMMIT_PRIVACY_PERSONAL_H

#include "postgres.h"

extern const char *personal_find(const char *text, int len);

#endif /* CANOPY_SUMMIT_PRIVACY_PERSONAL_H */
