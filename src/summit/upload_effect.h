/*
 * upload_effect.h
 *	  What Summit's answers change of uploads.
 */
#ifndef CANOPY_SUMMIT_SUMMIT_UPLOAD_EFFECT_H
#define CANOPY_SUMMIT_SUMMIT_UPLOAD_EFFECT_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "worker/flight.h"

extern void upload_settings(void);
extern void upload_accepted(List *flights);
extern void upload_ended(List *flights);
extern void upload_polled(List *flights);
extern bool upload_adopt_conflict(Flight *flight);

#endif /* CANOPY_SUMMIT_SUMMIT_UPLOAD_EFFECT_H */
