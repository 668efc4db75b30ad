/*
 * database_list.h
 *	  Which databases are served.
 */
#ifndef CANOPY_SUMMIT_PROCESS_DATABASE_LIST_H
#define CANOPY_SUMMIT_PROCESS_DATABASE_LIST_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern char *setting_receiver_database;

extern void database_list_settings(void);
extern bool database_is_served(const char *name);
extern bool database_find(const char *name);
extern void database_list(List **served, List **others);

#endif /* CANOPY_SUMMIT_PROCESS_DATABASE_LIST_H */
