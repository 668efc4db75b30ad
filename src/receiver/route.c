/*
 * route.c
 *	  The registry of routes.
 *
 * Filled from _PG_init() and never changed afterwards.  Called from within
 * libmicrohttpd: nothing but registering raises an error or allocates.
 */
#include "postgres.h"

#include "receiver/route.h"

#define ROUTES_MAX 16

static const Route *routes[ROUTES_MAX];
static int route_count = 0;

/* From _PG_init().  The route stays the caller's. */
void
route_register(const Route *route)
{
	if (route_count == ROUTES_MAX || strlen(route->path) + NAMEDATALEN >= ROUTE_PATH_SIZE)
		elog(ERROR, "too many routes, or one too long");
	routes[route_count++] = route;
}

/* Whether a route's path ends with "/", so that a name comes after it. */
static bool
takes_name(const Route *route)
{
	return route->path[strlen(route->path) - 1] == '/';
}

/* The route of a path, and the name in it, which points into the path; NULL if there is none. */
const Route *
route_find(const char *path, const char **name)
{
	for (int i = 0; i < route_count; i++)
	{
		const Route *route = routes[i];
		size_t len = strlen(route->path);

		*name = path + len;
		if (strncmp(path, route->path, len) != 0)
			continue;
		if (takes_name(route) ? **name != '\0' && strlen(*name) < NAMEDATALEN : **name == '\0')
			return route;
	}
	return NULL;
}
