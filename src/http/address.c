/*
 * address.c
 *	  Which addresses a request may go to.
 *
 * The check is made on the address that is about to be connected to, so neither
 * a spelling nor a name server can get around it.  Pure; libcurl calls it.
 */
#include "postgres.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "http/address.h"

typedef struct Network
{
	uint8 prefix[16];
	int bits;
} Network;

/* Not on the public Internet, by IANA's special-purpose registries. */
static const Network private_v4[] = {
	{{0}, 8},
	{{10}, 8},
	{{100, 64}, 10},
	{{127}, 8},
	{{169, 254}, 16},
	{{172, 16}, 12},
	{{192, 0, 0}, 24},
	{{192, 0, 2}, 24},
	{{192, 88, 99}, 24},
	{{192, 168}, 16},
	{{198, 18}, 15},
	{{198, 51, 100}, 24},
	{{203, 0, 113}, 24},
	{{224}, 4},
	{{240}, 4},
};

/* Global unicast; the rest of IPv6 is special, local or not assigned. */
static const Network global_v6 = {{0x20}, 3};

/* Special networks within it. */
static const Network private_v6[] = {
	{{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments, Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x3f, 0xff}, 20},             /* documentation */
};

/* IPv6 networks whose addresses hold an IPv4 address, and where. */
static const struct
{
	Network network;
	int offset;
} embedding_v6[] = {
	{{{[10] = 0xff, [11] = 0xff}, 96}, 12}, /* IPv4-mapped */
	{{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},   /* NAT64 */
	{{{0x20, 0x02}, 16}, 2},                /* 6to4 */
};

static bool
network_has(const Network *network, const uint8 *address)
{
	int bytes = network->bits / 8;
	int rest = network->bits % 8;
	uint8 mask = (uint8) (0xff << (8 - rest));

	return memcmp(network->prefix, address, bytes) == 0 &&
		   (rest == 0 || (network->prefix[bytes] & mask) == (address[bytes] & mask));
}

static bool
is_public_v4(const uint8 *address)
{
	for (int i = 0; i < lengthof(private_v4); i++)
		if (network_has(&private_v4[i], address))
			return false;
	return true;
}

static bool
is_public_v6(const uint8 *address)
{
	for (int i = 0; i < lengthof(embedding_v6); i++)
		if (network_has(&embedding_v6[i].network, address))
			return is_public_v4(address + embedding_v6[i].offset);
	for (int i = 0; i < lengthof(private_v6); i++)
		if (network_has(&private_v6[i], address))
			return false;
	return network_has(&global_v6, address);
}

/* Whether the address is an Internet address that anybody may reach. */
bool
address_is_public(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_public_v4((const uint8 *) &((const struct sockaddr_in *) address)->sin_addr);
	if (address->sa_family == AF_INET6)
		return is_public_v6((const uint8 *) &((const struct sockaddr_in6 *) address)->sin6_addr);
	return false;
}
