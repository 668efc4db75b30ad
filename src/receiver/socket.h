/*
 * socket.h
 *	  Where and how to listen.
 */
#ifndef CANOPY_SUMMIT_RECEIVER_SOCKET_H
#define CANOPY_SUMMIT_RECEIVER_SOCKET_H

#include "postgres.h"

typedef struct ListenerPlan
{
	const char *address; /* an IP address, or localhost */
	int port;
	int max_connections;
	int timeout;             /* ms until a request has to be complete */
	const char *certificate; /* PEM; NULL = no TLS */
	const char *key;
} ListenerPlan;

extern bool listener_address_is_valid(const char *address);
extern bool listener_address_is_loopback(const char *address);
extern int listener_socket(const ListenerPlan *plan);

#endif /* CANOPY_SUMMIT_RECEIVER_SOCKET_H */
