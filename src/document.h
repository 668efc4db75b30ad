/*
 * document.h
 *	  What a document is, by its bytes.
 */
#ifndef CANOPY_SUMMIT_DOCUMENT_H
#define CANOPY_SUMMIT_DOCUMENT_H

#include "canopy_summit.h"

extern const char *document_content_type(const char *bytes, size_t len);
extern const char *document_type_read(const char *name, int len);
extern bool document_base64_decode(const char *base64, int len, char **bytes, int *bytes_len);
extern char *document_base64_encode(const char *bytes, int len);

#endif /* CANOPY_SUMMIT_DOCUMENT_H */
