/*
 * servicing_effect.h
 *	  What answers tell of servicing actions.
 */
#ifndef CANOPY_SUMMIT_CANOPY_SERVICING_EFFECT_H
#define CANOPY_SUMMIT_CANOPY_SERVICING_EFFECT_H

extern void servicing_effect_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_SERVICING_EFFECT_H */
