/*
 * stub.h
 *	  What a fuzz target uses of the stand-in for a server.
 */
#ifndef CANOPY_SUMMIT_FUZZ_STUB_H
#define CANOPY_SUMMIT_FUZZ_STUB_H

#include "postgres.h"

/* Frees all memory that palloc() gave since the last call, as a context's reset does. */
extern void stub_reset(void);

/* Says what was found wrong, and ends the run. */
extern void stub_fail(const char *format, ...) pg_attribute_printf(1, 2);

/* What libFuzzer calls; each target has its own. */
extern int LLVMFuzzerTestOneInput(const uint8 *input, size_t len);

#endif /* CANOPY_SUMMIT_FUZZ_STUB_H */
