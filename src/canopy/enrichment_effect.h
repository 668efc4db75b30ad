/*
 * enrichment_effect.h
 *	  Jobs that look up a property, a driver or a household.
 */
#ifndef CANOPY_SUMMIT_CANOPY_ENRICHMENT_EFFECT_H
#define CANOPY_SUMMIT_CANOPY_ENRICHMENT_EFFECT_H

extern void enrichment_effect_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_ENRICHMENT_EFFECT_H */
