/*
 * component_effect.h
 *	  Jobs with which a consumer connects an account.
 */
#ifndef CANOPY_SUMMIT_CANOPY_COMPONENT_EFFECT_H
#define CANOPY_SUMMIT_CANOPY_COMPONENT_EFFECT_H

#include "postgres.h"

#include "engine/new_row.h"
#include "server/connection.h"

extern void consent_fill(NewRow *row, const Connection *connection);
extern void component_effect_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_COMPONENT_EFFECT_H */
