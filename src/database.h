/*
 * database.h
 *	  What background processes have to know of the database they are connected to.
 */
#ifndef CANOPY_SUMMIT_DATABASE_H
#define CANOPY_SUMMIT_DATABASE_H

#include "postgres.h"

extern bool database_is_wanted(void);
extern const char *database_problem(void);
extern void session_settings(void);

#endif /* CANOPY_SUMMIT_DATABASE_H */
