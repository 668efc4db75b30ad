/*
 * canopy_summit.c
 *	  Module entry: settings, and nothing that touches the network.
 *
 * libcurl must never be initialised here: preloaded, this runs in the
 * postmaster, which has to stay single-threaded.
 */
#include "canopy_summit.h"

#include <limits.h>

#include "utils/guc.h"

PG_MODULE_MAGIC;

char *setting_canopy_server;
char *setting_summit_server;
int setting_http_connect_timeout;
int setting_http_timeout;
int setting_max_response_size;
int setting_max_document_size;

PGDLLEXPORT void _PG_init(void);

/* Define every setting; the table is as long as the list of settings. */
static void
settings_define(void)
{
	DefineCustomStringVariable("canopy_summit.canopy_server",
							   "Canopy server that functions use when they are given none.", NULL,
							   &setting_canopy_server, "canopy", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("canopy_summit.summit_server",
							   "Summit server that functions use when they are given none.", NULL,
							   &setting_summit_server, "summit", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.http_connect_timeout",
							"Longest time to resolve, connect and agree on TLS.",
							"The server option connect_timeout wins over it.",
							&setting_http_connect_timeout, 10 * 1000, 1, 10 * 60 * 1000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.http_timeout",
							"Longest time for one request, from start to last byte.",
							"The server option timeout wins over it.", &setting_http_timeout,
							60 * 1000, 1, 60 * 60 * 1000, PGC_USERSET, GUC_UNIT_MS, NULL, NULL,
							NULL);
	DefineCustomIntVariable("canopy_summit.max_response_size",
							"Largest response that is read, after decompression.", NULL,
							&setting_max_response_size, 16 * 1024, 1, 255 * 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.max_document_size",
							"Largest document that is downloaded.", NULL,
							&setting_max_document_size, 64 * 1024, 1, 180 * 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	MarkGUCPrefixReserved("canopy_summit");
}

void
_PG_init(void)
{
	settings_define();
}
