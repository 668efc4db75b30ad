/*
 * privilege.h
 *	  Levels of grant_access() that C asks about.
 */
#ifndef CANOPY_SUMMIT_ENGINE_PRIVILEGE_H
#define CANOPY_SUMMIT_ENGINE_PRIVILEGE_H

#include "postgres.h"

extern bool privilege_reads_pii(void);
extern bool privilege_is_admin(void);
extern Oid privilege_extension_owner(void);

#endif /* CANOPY_SUMMIT_ENGINE_PRIVILEGE_H */
