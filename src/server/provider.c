/*
 * provider.c
 *	  The names of providers, and of their foreign-data wrappers.
 */
#include "postgres.h"

#include "server/provider.h"

static const struct
{
	const char *word;
	const char *wrapper;
} providers[] = {
	[PROVIDER_CANOPY] = {"canopy", "canopy_api"},
	[PROVIDER_SUMMIT] = {"summit", "summit_api"},
	[PROVIDER_ENDPOINT] = {"endpoint", "webhook_endpoint"},
};

/* What the catalogue of operations calls it. */
const char *
provider_word(Provider provider)
{
	return providers[provider].word;
}

/* The foreign-data wrapper of its servers. */
const char *
provider_wrapper(Provider provider)
{
	return providers[provider].wrapper;
}

/* The provider whose wrapper this is; false if it is somebody else's. */
bool
provider_find(const char *wrapper, Provider *provider)
{
	for (int i = 0; i < lengthof(providers); i++)
		if (strcmp(wrapper, providers[i].wrapper) == 0)
		{
			*provider = i;
			return true;
		}
	return false;
}
