/*
 * place.h
 *	  Where files that options and settings name may be.
 */
#ifndef CANOPY_SUMMIT_BASE_PLACE_H
#define CANOPY_SUMMIT_BASE_PLACE_H

#include "postgres.h"

extern const char *place_problem(const char *path);
extern void place_check(const char *what, const char *path, int fd);

#endif /* CANOPY_SUMMIT_BASE_PLACE_H */
