/*
 * vin.c
 *	  Vehicle identification numbers: 17 digits and capital letters without I, O and Q
 *	  (ISO 3779).  The check digit is North America's alone, and is not looked at.
 */
#include "postgres.h"

#include "canopy/vin.h"

#define VIN_LENGTH 17

bool
vin_is_valid(const char *vin)
{
	return strlen(vin) == VIN_LENGTH &&
		   strspn(vin, "ABCDEFGHJKLMNPRSTUVWXYZ0123456789") == VIN_LENGTH;
}
