/*
 * instance.h
 *	  Which database this is, as jobs remember it.
 */
#ifndef CANOPY_SUMMIT_ENGINE_INSTANCE_H
#define CANOPY_SUMMIT_ENGINE_INSTANCE_H

#include "postgres.h"

extern void instance_settings(void);
extern int64 instance_current(void);
extern bool instance_find(int64 *instance);
extern int64 instance_disarmed(int64 instance);

#endif /* CANOPY_SUMMIT_ENGINE_INSTANCE_H */
