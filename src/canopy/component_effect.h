/*
 * component_effect.h
 *	  Jobs with which a consumer connects an account.
 */
#ifndef CANOPY_SUMMIT_CANOPY_COMPONENT_EFFECT_H
#define CANOPY_SUMMIT_CANOPY_COMPONENT_EFFECT_H

extern void component_effect_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_COMPONENT_EFFECT_H */
