/*
 * route.h
 *	  What the receiver answers at which path.
 */
#ifndef CANOPY_SUMMIT_RECEIVER_ROUTE_H
#define CANOPY_SUMMIT_RECEIVER_ROUTE_H

#include "postgres.h"

/* Bytes of a path that are looked at, with the zero byte; no route is as long. */
#define ROUTE_PATH_SIZE 256

struct Intake;
struct Exchange;

typedef enum RouteMethod
{
	ROUTE_GET, /* or HEAD; a request has no body */
	ROUTE_POST /* a request has one */
} RouteMethod;

typedef struct Route
{
	RouteMethod method;
	const char *path; /* after one that ends with "/" comes a name */

	/* Finds the answer to a complete request, outside any transaction: the exchange's `answer`. */
	void (*serve)(struct Intake *intake, struct Exchange *exchange);
} Route;

extern void route_register(const Route *route);
extern const Route *route_find(const char *path, const char **name);

#endif /* CANOPY_SUMMIT_RECEIVER_ROUTE_H */
