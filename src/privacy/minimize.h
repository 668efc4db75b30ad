/*
 * minimize.h
 *	  Rules about what must not be sent to Summit: banking details and health data.
 */
#ifndef CANOPY_SUMMIT_PRIVACY_MINIMIZE_H
#define CANOPY_SUMMIT_PRIVACY_MINIMIZE_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* What a rule found; never the text itself. */
typedef struct MinimizeFinding
{
	const char *rule_id;
	const char *problem; /* "looks like a bank account number, which Summit does not accept" */
} MinimizeFinding;

extern List *minimize_rules(void);
extern bool minimize_key(List *rules, const char *path, const char *key, int len, bool known,
						 MinimizeFinding *finding);
extern bool
minimize_text(List *rules, const char *path, const char *text, int len, MinimizeFinding *finding);

#endif /* CANOPY_SUMMIT_PRIVACY_MINIMIZE_H */
