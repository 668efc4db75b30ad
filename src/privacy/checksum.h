/*
 * checksum.h
 *	  Check digits of numbers.
 */
#ifndef CANOPY_SUMMIT_PRIVACY_CHECKSUM_H
#define CANOPY_SUMMIT_PRIVACY_CHECKSUM_H

#include "postgres.h"

/* Whether a number's check digits fit. */
typedef bool (*ChecksumFits)(const char *number, int len);

extern ChecksumFits checksum_find(const char *name);

#endif /* CANOPY_SUMMIT_PRIVACY_CHECKSUM_H */
