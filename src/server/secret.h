/*
 * secret.h
 *	  Secrets in files.
 */
#ifndef CANOPY_SUMMIT_SERVER_SECRET_H
#define CANOPY_SUMMIT_SERVER_SECRET_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern List *secret_read_file(const char *path);

#endif /* CANOPY_SUMMIT_SERVER_SECRET_H */
