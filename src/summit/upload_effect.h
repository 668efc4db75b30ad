/*
 * upload_effect.h
 *	  What Summit's answers change of uploads.
 */
#ifndef CANOPY_SUMMIT_SUMMIT_UPLOAD_EFFECT_H
#define CANOPY_SUMMIT_SUMMIT_UPLOAD_EFFECT_H

#include "postgres.h"

extern void upload_effect_register(void);
extern void upload_settings(void);

#endif /* CANOPY_SUMMIT_SUMMIT_UPLOAD_EFFECT_H */
