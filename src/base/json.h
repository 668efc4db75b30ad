/*
 * json.h
 *	  JSON from outside.
 */
#ifndef CANOPY_SUMMIT_BASE_JSON_H
#define CANOPY_SUMMIT_BASE_JSON_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define JSON_MAX_DEPTH 1000

extern Jsonb *json_read(const char *bytes, size_t len, List **replaced, const char **problem);
extern Jsonb *json_read_nested(const char *bytes, int len);
extern const char *json_key_label(const char *key, int len);
extern List *json_add_path(List *paths, const char *path);

#endif /* CANOPY_SUMMIT_BASE_JSON_H */
