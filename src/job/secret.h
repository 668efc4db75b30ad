/*
 * secret.h
 *	  Secrets that answers to jobs bring.
 */
#ifndef CANOPY_SUMMIT_JOB_SECRET_H
#define CANOPY_SUMMIT_JOB_SECRET_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern void secret_register(void);

/* The caller is inside engine_begin() */
extern void secrets_keep(List *settlements, const char *field);

#endif /* CANOPY_SUMMIT_JOB_SECRET_H */
