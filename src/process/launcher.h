/*
 * launcher.h
 *	  Which database has a worker.
 */
#ifndef CANOPY_SUMMIT_PROCESS_LAUNCHER_H
#define CANOPY_SUMMIT_PROCESS_LAUNCHER_H

#include "postgres.h"

extern void launcher_register(void);

#endif /* CANOPY_SUMMIT_PROCESS_LAUNCHER_H */
