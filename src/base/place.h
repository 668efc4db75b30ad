/*
 * place.h
 *	  Where files that options and settings name may be.
 */
#ifndef CANOPY_SUMMIT_BASE_PLACE_H
#define CANOPY_SUMMIT_BASE_PLACE_H

#include "postgres.h"

extern const char *place_problem(const char *path);
extern void place_check(const char *what, const char *path, int fd);
extern char *place_read(const char *what, const char *path, size_t max, bool missing_ok,
						void (*check)(const char *path, int fd), size_t *len);

#endif /* CANOPY_SUMMIT_BASE_PLACE_H */
