/*
 * socket.h
 *	  The descriptors of libcurl's sockets, as PostgreSQL counts its own.
 */
#ifndef CANOPY_SUMMIT_HTTP_SOCKET_H
#define CANOPY_SUMMIT_HTTP_SOCKET_H

#include "postgres.h"

extern int socket_open(int family, int type, int protocol, bool *is_exhausted);
extern int socket_close(int fd);
extern void socket_sweep(void);

#endif /* CANOPY_SUMMIT_HTTP_SOCKET_H */
