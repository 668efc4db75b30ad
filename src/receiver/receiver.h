/*
 * receiver.h
 *	  The settings of the receiver.
 */
#ifndef CANOPY_SUMMIT_RECEIVER_RECEIVER_H
#define CANOPY_SUMMIT_RECEIVER_RECEIVER_H

#include "postgres.h"

extern void receiver_settings(void);

#endif /* CANOPY_SUMMIT_RECEIVER_RECEIVER_H */
