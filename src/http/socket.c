/*
 * socket.c
 *	  The descriptors of libcurl's sockets, as PostgreSQL counts its own.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "storage/fd.h"

#include "http/socket.h"

#define HTTP_MAX_FD 65536 /* above any descriptor */

/*
 * Which descriptors PostgreSQL counts as libcurl's.  A connection outlives the
 * transfer that opened it, and libcurl closes some sockets without telling, so
 * this belongs to the process and is put right by socket_sweep().
 */
static uint64 counted_sockets[HTTP_MAX_FD / 64];
static int highest_socket = -1;

static bool
socket_is_counted(int fd)
{
	return (counted_sockets[fd / 64] & (UINT64CONST(1) << (fd % 64))) != 0;
}

/* Stop counting a descriptor. */
static void
socket_discount(int fd)
{
	if (fd >= HTTP_MAX_FD || !socket_is_counted(fd))
		return;
	counted_sockets[fd / 64] &= ~(UINT64CONST(1) << (fd % 64));
	ReleaseExternalFD();
}

/* Count a descriptor, for which AcquireExternalFD() has succeeded. */
static void
socket_count(int fd)
{
	if (socket_is_counted(fd))
		ReleaseExternalFD(); /* its number was closed without a word, and counts already */
	counted_sockets[fd / 64] |= UINT64CONST(1) << (fd % 64);
	highest_socket = Max(highest_socket, fd);
}

/* Stop counting the descriptors that are closed. */
void
socket_sweep(void)
{
	for (int fd = 0; fd <= highest_socket; fd++)
		if (socket_is_counted(fd) && fcntl(fd, F_GETFD) < 0)
			socket_discount(fd);
}

/* A socket that counts; -1 if there is none, and *is_exhausted if that is for want of descriptors. */
int
socket_open(int family, int type, int protocol, bool *is_exhausted)
{
	int fd;

	if (!AcquireExternalFD())
	{
		*is_exhausted = true;
		return -1;
	}
	fd = socket(family, type | SOCK_CLOEXEC, protocol);
	if (fd < 0 || fd >= HTTP_MAX_FD)
	{
		ReleaseExternalFD();
		if (fd >= 0)
			close(fd);
		return -1;
	}
	socket_count(fd);
	return fd;
}

/* Close a socket, and stop counting it; 0, or -1 as close() gives it. */
int
socket_close(int fd)
{
	socket_discount(fd);
	return close(fd);
}
