/*
 * remap.h
 *	  Every entity row again from the current versions.
 */
#ifndef CANOPY_SUMMIT_PULL_REMAP_H
#define CANOPY_SUMMIT_PULL_REMAP_H

extern void remap_register(void);

#endif /* CANOPY_SUMMIT_PULL_REMAP_H */
