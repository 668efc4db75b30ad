/*
 * dppa.h
 *	  What the Driver's Privacy Protection Act lets one ask motor-vehicle records for.
 */
#ifndef CANOPY_SUMMIT_CANOPY_DPPA_H
#define CANOPY_SUMMIT_CANOPY_DPPA_H

extern bool dppa_permits(const char *purpose);

#endif /* CANOPY_SUMMIT_CANOPY_DPPA_H */
