/*
 * receiver_launch.h
 *	  When the receiver runs.
 */
#ifndef CANOPY_SUMMIT_PROCESS_RECEIVER_LAUNCH_H
#define CANOPY_SUMMIT_PROCESS_RECEIVER_LAUNCH_H

#include "postgres.h"

#include "utils/timestamp.h"

extern int setting_receiver_port; /* 0 = no receiver */

extern void receiver_launch_settings(void);
extern TimestampTz receiver_serve(TimestampTz now);
extern void receiver_reload(void);

#endif /* CANOPY_SUMMIT_PROCESS_RECEIVER_LAUNCH_H */
