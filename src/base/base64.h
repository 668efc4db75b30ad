/*
 * base64.h
 *	  Bytes as base64, and back.
 */
#ifndef CANOPY_SUMMIT_BASE_BASE64_H
#define CANOPY_SUMMIT_BASE_BASE64_H

#include "postgres.h"

extern bool base64_decode(const char *base64, int len, char **bytes, int *bytes_len);
extern bool base64_decode_exactly(const char *base64, int len, char **bytes, int *bytes_len);
extern char *base64_encode(const char *bytes, int len);

#endif /* CANOPY_SUMMIT_BASE_BASE64_H */
