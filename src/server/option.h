/*
 * option.h
 *	  Names and values that servers and user mappings accept.
 */
#ifndef CANOPY_SUMMIT_SERVER_OPTION_H
#define CANOPY_SUMMIT_SERVER_OPTION_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern int option_parse_duration(const char *name, const char *value);
extern int64 option_parse_tolerance(const char *name, const char *value);
extern List *option_parse_hosts(const char *value);
extern bool option_parse_boolean(const char *name, const char *value);

#endif /* CANOPY_SUMMIT_SERVER_OPTION_H */
