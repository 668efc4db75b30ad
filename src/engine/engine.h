/*
 * engine.h
 *	  As whom and how the engine's own statements run.
 */
#ifndef CANOPY_SUMMIT_ENGINE_ENGINE_H
#define CANOPY_SUMMIT_ENGINE_ENGINE_H

#include "postgres.h"

typedef struct Engine
{
	Oid role;
	int security;
	int nest_level; /* of settings; 0 = none were made */
} Engine;

extern void engine_enter(Engine *engine);
extern void engine_begin(Engine *engine);
extern void engine_begin_wide(Engine *engine);
extern void engine_set_planner(void);
extern void engine_end(Engine *engine);
extern int64 engine_next_key(const char *sequence);

#endif /* CANOPY_SUMMIT_ENGINE_ENGINE_H */
