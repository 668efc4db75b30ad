/*
 * rename.h
 *	  Servers that get another name: their rows follow.
 */
#ifndef CANOPY_SUMMIT_PULL_RENAME_H
#define CANOPY_SUMMIT_PULL_RENAME_H

extern void rename_register(void);

#endif /* CANOPY_SUMMIT_PULL_RENAME_H */
