/*
 * canopy_summit.c
 *	  Module entry: settings, shared memory, the launcher, and nothing that
 *	  touches the network.
 *
 * libcurl must never be initialised here: preloaded, this runs in the
 * postmaster, which has to stay single-threaded.
 */
#include "canopy_summit.h"

#include <limits.h>

#include "listener.h"
#include "miscadmin.h"
#include "shared.h"
#include "utils/guc.h"
#include "worker.h"

PG_MODULE_MAGIC;

char *setting_canopy_server;
char *setting_summit_server;
int setting_http_connect_timeout;
int setting_http_timeout;
int setting_max_response_size;
int setting_receiver_max_body_size;
int setting_max_document_size;
char *setting_databases;
int setting_workers;
int setting_max_in_flight;
int setting_claim_batch;
int setting_worker_idle_timeout;
int setting_lease_margin;
int setting_upload_poll_limit;
char *setting_instance_file;
int setting_receiver_port;
char *setting_receiver_listen;
char *setting_receiver_database;
int setting_receiver_max_connections;
int setting_receiver_timeout;
char *setting_receiver_tls_cert_file;
char *setting_receiver_tls_key_file;

PGDLLEXPORT void _PG_init(void);

/* The settings of the background processes. */
static void
settings_define_worker(void)
{
	DefineCustomStringVariable("canopy_summit.databases",
							   "Databases that workers serve, separated by commas.",
							   "Empty: every database that has the extension.", &setting_databases,
							   "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.workers", "Workers that drain one database.", NULL,
							&setting_workers, 1, 1, 16, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.max_in_flight",
							"Most requests that one worker has on the wire.", NULL,
							&setting_max_in_flight, 128, 1, 1000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.claim_batch", "Most jobs that are claimed at once.",
							NULL, &setting_claim_batch, 256, 1, 1000, PGC_SIGHUP, 0, NULL, NULL,
							NULL);
	DefineCustomIntVariable("canopy_summit.worker_idle_timeout",
							"Time without work after which a worker disconnects.", NULL,
							&setting_worker_idle_timeout, 60 * 1000, 100, 24 * 60 * 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.lease_margin",
							"Time beyond a request's own after which its claim is taken over.",
							NULL, &setting_lease_margin, 30 * 1000, 0, 60 * 60 * 1000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.upload_poll_limit",
							"Time after which an upload without an end becomes unresolved.", NULL,
							&setting_upload_poll_limit, 24 * 60 * 60, 1, 30 * 24 * 60 * 60,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"canopy_summit.instance_file",
		"File outside the data directory that tells this instance from its copies.",
		"Jobs of another instance wait for canopy_summit.arm().", &setting_instance_file, "",
		PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Check hook of receiver_listen. */
static bool
check_listen(char **value, void **extra, GucSource source)
{
	if (listener_address_is_valid(*value))
		return true;
	GUC_check_errdetail("It must be an IP address, or localhost.");
	return false;
}

/* Check hook of the names of files. */
static bool
check_file(char **value, void **extra, GucSource source)
{
	if ((*value)[0] == '\0' || is_absolute_path(*value))
		return true;
	GUC_check_errdetail("The path must be absolute.");
	return false;
}

/* The settings of the receiver. */
static void
settings_define_receiver(void)
{
	DefineCustomIntVariable("canopy_summit.receiver_port",
							"Port on which webhooks are received; 0: none are.", NULL,
							&setting_receiver_port, 0, 0, 65535, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("canopy_summit.receiver_listen",
							   "Address on which webhooks are received.",
							   "Any but a loopback address needs TLS.", &setting_receiver_listen,
							   "127.0.0.1", PGC_SIGHUP, 0, check_listen, NULL, NULL);
	DefineCustomStringVariable("canopy_summit.receiver_database",
							   "Database in which received webhooks are stored.", NULL,
							   &setting_receiver_database, "postgres", PGC_SIGHUP, 0, NULL, NULL,
							   NULL);
	DefineCustomIntVariable("canopy_summit.receiver_max_body_size",
							"Largest body of a webhook that is taken, whichever way it comes.",
							NULL, &setting_receiver_max_body_size, 1024, 1, 64 * 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.receiver_max_connections",
							"Most connections that the receiver has at once.", NULL,
							&setting_receiver_max_connections, 256, 1, 10000, PGC_SIGHUP, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable("canopy_summit.receiver_timeout",
							"Time that a client has for a complete request.", NULL,
							&setting_receiver_timeout, 30 * 1000, 1000, 60 * 60 * 1000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("canopy_summit.receiver_tls_cert_file",
							   "File with the receiver's certificate chain in PEM.",
							   "Empty: no TLS.", &setting_receiver_tls_cert_file, "", PGC_SIGHUP, 0,
							   check_file, NULL, NULL);
	DefineCustomStringVariable("canopy_summit.receiver_tls_key_file",
							   "File with the receiver's private key in PEM.", NULL,
							   &setting_receiver_tls_key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_file, NULL, NULL);
}

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
							"Largest document that is downloaded or uploaded.", NULL,
							&setting_max_document_size, 64 * 1024, 1, 180 * 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	settings_define_worker();
	settings_define_receiver();
	MarkGUCPrefixReserved("canopy_summit");
}

void
_PG_init(void)
{
	settings_define();
	shared_initialize();
	if (process_shared_preload_libraries_in_progress && !IsBinaryUpgrade)
		launcher_register();
}
