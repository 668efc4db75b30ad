/*
 * option.h
 *	  Names and values that servers and user mappings accept.
 */
#ifndef CANOPY_SUMMIT_SERVER_OPTION_H
#define CANOPY_SUMMIT_SERVER_OPTION_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* Who reads options, and what he fills. */
typedef enum OptionReader
{
	OPTION_FOR_CONNECTION, /* Connection */
	OPTION_FOR_WEBHOOKS,   /* WebhookSource */
	OPTION_FOR_SIGNING,    /* Connection: what webhooks that go out are signed with */
	OPTION_READERS
} OptionReader;

extern void option_check_as(const char *name, const char *value);
extern void option_read(List *definitions, OptionReader reader, void *target);

#endif /* CANOPY_SUMMIT_SERVER_OPTION_H */
