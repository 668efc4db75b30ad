/*
 * file_type.h
 *	  What a document is, by its bytes.
 */
#ifndef CANOPY_SUMMIT_BASE_FILE_TYPE_H
#define CANOPY_SUMMIT_BASE_FILE_TYPE_H

#include "postgres.h"

extern const char *file_type_of(const char *bytes, size_t len);
extern const char *file_type_read(const char *name, int len);

#endif /* CANOPY_SUMMIT_BASE_FILE_TYPE_H */
