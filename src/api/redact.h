/*
 * redact.h
 *	  What is secret in what a job sends and is answered, and is not kept.
 */
#ifndef CANOPY_SUMMIT_API_REDACT_H
#define CANOPY_SUMMIT_API_REDACT_H

#include "postgres.h"

#include "utils/jsonb.h"

extern Jsonb *redact_answer(Jsonb *answer);

#endif /* CANOPY_SUMMIT_API_REDACT_H */
