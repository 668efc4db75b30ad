/*
 * monitoring_effect.h
 *	  What answers tell of monitorings.
 */
#ifndef CANOPY_SUMMIT_CANOPY_MONITORING_EFFECT_H
#define CANOPY_SUMMIT_CANOPY_MONITORING_EFFECT_H

extern void monitoring_effect_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_MONITORING_EFFECT_H */
