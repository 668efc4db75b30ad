/*
 * database.h
 *	  What background processes have to know of the database they are connected to.
 */
#ifndef CANOPY_SUMMIT_DATABASE_H
#define CANOPY_SUMMIT_DATABASE_H

#include "postgres.h"

#define YIELD_INTERVAL 1000 /* ms between looks for somebody who waits for the database */

extern bool database_is_wanted(void);
extern const char *database_problem(void);
extern void session_settings(void);

#endif /* CANOPY_SUMMIT_DATABASE_H */
