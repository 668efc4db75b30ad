/*
 * header.h
 *	  HTTP headers of a webhook: a JSON object of texts by name, in any case.
 */
#ifndef CANOPY_SUMMIT_WEBHOOK_HEADER_H
#define CANOPY_SUMMIT_WEBHOOK_HEADER_H

#include "postgres.h"

#include "utils/jsonb.h"

extern const char *header_find(Jsonb *headers, const char *name);
extern Jsonb *headers_json(const char *text, size_t len);
extern bool header_is_encoded(Jsonb *headers);
extern Jsonb *header_hide_credentials(Jsonb *headers);

#endif /* CANOPY_SUMMIT_WEBHOOK_HEADER_H */
