/*
 * socket.c
 *	  Addresses that the receiver can listen on, and the socket that does.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "receiver/socket.h"

#define BACKLOG 511

/* An address to bind to; false if the text is not one. */
static bool
address_parse(const char *text, int port, struct sockaddr_storage *address, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *) address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) address;

	memset(address, 0, sizeof(*address));
	if (strcmp(text, "localhost") == 0)
		text = "127.0.0.1";
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
	{
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len = sizeof(*v4);
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
	{
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*len = sizeof(*v6);
		return true;
	}
	return false;
}

/* Whether listener_open() can make sense of an address. */
bool
listener_address_is_valid(const char *text)
{
	struct sockaddr_storage address;
	socklen_t len;

	return address_parse(text, 0, &address, &len);
}

/* Whether only this machine can reach an address. */
bool
listener_address_is_loopback(const char *text)
{
	struct sockaddr_storage address;
	socklen_t len;

	if (!address_parse(text, 0, &address, &len))
		return false;
	if (address.ss_family == AF_INET)
		return ntohl(((struct sockaddr_in *) &address)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *) &address)->sin6_addr);
}

/* A socket that listens.  Error: it cannot. */
int
listener_socket(const ListenerPlan *plan)
{
	struct sockaddr_storage address;
	socklen_t len;
	int on = 1;
	int fd = -1;

	if (!address_parse(plan->address, plan->port, &address, &len))
		elog(ERROR, "\"%s\" is not an address", plan->address);
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(fd, (struct sockaddr *) &address, len) != 0 || listen(fd, BACKLOG) != 0)
	{
		int error = errno;

		if (fd >= 0)
			close(fd);
		errno = error;
		ereport(ERROR, (errcode_for_socket_access(),
						errmsg("could not listen on %s port %d: %m", plan->address, plan->port)));
	}
	return fd;
}
