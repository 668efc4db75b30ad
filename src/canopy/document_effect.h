/*
 * document_effect.h
 *	  Files fetched by job.
 */
#ifndef CANOPY_SUMMIT_CANOPY_DOCUMENT_EFFECT_H
#define CANOPY_SUMMIT_CANOPY_DOCUMENT_EFFECT_H

#include "postgres.h"

extern void document_effect_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_DOCUMENT_EFFECT_H */
