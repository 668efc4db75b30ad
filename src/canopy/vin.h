/*
 * vin.h
 *	  Vehicle identification numbers.
 */
#ifndef CANOPY_SUMMIT_CANOPY_VIN_H
#define CANOPY_SUMMIT_CANOPY_VIN_H

extern bool vin_is_valid(const char *vin);

#endif /* CANOPY_SUMMIT_CANOPY_VIN_H */
