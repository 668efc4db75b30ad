/*
 * connection.c
 *	  Foreign server and user mapping to a Connection.
 *
 * Whoever gets a Connection has USAGE on the server; whoever gets credentials
 * in it is the role the mapping is for.  Both are checked at every use.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "server/connection.h"
#include "server/option.h"
#include "server/provider.h"

#define CANOPY_BASE_URL "https://app.usecanopy.com/api/v1.0.0"
#define CANOPY_AUTH_URL "https://app.usecanopy.com/oauth2"
#define SUMMIT_SCOPE    "policies:write policies:read webhooks:read"
#define MAX_CONNECTIONS 16

/* ms; "respond 2xx within 10 seconds" (Summit's guide, "Status webhooks"). */
#define ENDPOINT_TIMEOUT (10 * 1000)

/*
 * Microseconds.  Summit asks for 5 minutes.  Canopy's retries run for 7.2 hours,
 * and whether they are signed again is not documented (docs.usecanopy.com,
 * "webhook retries").
 */
#define CANOPY_TOLERANCE (8 * USECS_PER_HOUR)
#define SUMMIT_TOLERANCE (5 * USECS_PER_MINUTE)

char *setting_canopy_server;
char *setting_summit_server;
int setting_http_timeout;                /* ms */
static int setting_http_connect_timeout; /* ms */

/* Raise the error for a role without a right to the server. */
static void
connection_check_right(const ForeignServer *server)
{
	if (aclcheck_server(server->serverid, GetUserId()) != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for foreign server %s", server->servername),
						errhint("GRANT USAGE ON FOREIGN SERVER %s TO %s;",
								quote_identifier(server->servername),
								quote_identifier(GetUserNameFromId(GetUserId(), false)))));
}

/* The server by name, with a hint that prints the statement to run if there is none. */
static ForeignServer *
connection_find_server(const char *name, Provider provider)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	const char *wrapper = provider_wrapper(provider);

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("server \"%s\" does not exist", name),
				 errhint("CREATE SERVER %s FOREIGN DATA WRAPPER %s%s", quote_identifier(name),
						 wrapper,
						 provider == PROVIDER_CANOPY
							 ? " OPTIONS (team_id '…');"
							 : " OPTIONS (base_url 'https://…', auth_url 'https://…');")));
	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, wrapper) != 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("server \"%s\" is not a server of foreign-data wrapper \"%s\"", name,
							   wrapper),
						errhint("Name another server, or change setting canopy_summit.%s_server.",
								provider == PROVIDER_CANOPY ? "canopy" : "summit")));
	connection_check_right(server);
	return server;
}

/* Raise the error for a server that is not of a wrapper for an API. */
static void
connection_refuse(const ForeignServer *server)
{
	ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("server \"%s\" is not a server of foreign-data wrapper \"%s\" or \"%s\"",
						   server->servername, provider_wrapper(PROVIDER_CANOPY),
						   provider_wrapper(PROVIDER_SUMMIT))));
}

/* Which API a server speaks, by its wrapper.  Error 42809: it is not one of ours. */
static Provider
connection_provider_of(const ForeignServer *server)
{
	Provider provider;

	if (!provider_find(GetForeignDataWrapper(server->fdwid)->fdwname, &provider))
		connection_refuse(server);
	return provider;
}

/* The server by name, of whichever of our wrappers, and the API that it speaks. */
static ForeignServer *
connection_find_any_server(const char *name, Provider *provider)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("server \"%s\" does not exist", name),
				 errhint("CREATE SERVER %s FOREIGN DATA WRAPPER canopy_api OPTIONS (…);",
						 quote_identifier(name))));
	*provider = connection_provider_of(server);
	return server;
}

/* Which API the server speaks.  Errors: 42704 no such server, 42809 it is not one of ours. */
Provider
connection_provider(const char *name)
{
	Provider provider;

	(void) connection_find_any_server(name, &provider);
	return provider;
}

/* A server as a Connection, which may lack a base_url. */
static Connection *
connection_read(const ForeignServer *server, Provider provider)
{
	Connection *connection = palloc0(sizeof(Connection));
	ListCell *cell;

	connection->server_oid = server->serverid;
	connection->server = server->servername;
	connection->provider = provider;
	connection->environment = "production";
	connection->base_url = provider == PROVIDER_CANOPY ? CANOPY_BASE_URL : NULL;
	connection->auth_url = provider == PROVIDER_CANOPY ? CANOPY_AUTH_URL : NULL;
	connection->scope = provider == PROVIDER_CANOPY ? "" : SUMMIT_SCOPE;
	connection->max_connections = MAX_CONNECTIONS;
	connection->link_metadata_prefix = "ccmeta-";
	connection->connect_timeout = setting_http_connect_timeout;
	connection->timeout = provider == PROVIDER_ENDPOINT ? ENDPOINT_TIMEOUT : setting_http_timeout;
	option_read(server->options, OPTION_FOR_CONNECTION, connection);
	/* Nothing is put behind it: with a slash at its end it may be another place. */
	if (provider == PROVIDER_ENDPOINT)
		foreach(cell, server->options)
			if (strcmp(lfirst_node(DefElem, cell)->defname, "base_url") == 0)
				connection->base_url = defGetString(lfirst_node(DefElem, cell));
	return connection;
}

/* Raise the error for a server without an option that it needs; `value` is NULL if it has none. */
void
connection_require(const Connection *connection, const char *option, const char *value,
				   const char *example)
{
	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("server \"%s\" has no %s", connection->server, option),
						errhint("ALTER SERVER %s OPTIONS (ADD %s '%s');",
								quote_identifier(connection->server), option, example)));
}

/* A server as a Connection.  Error 22023: it has no base_url. */
static Connection *
connection_of(const ForeignServer *server, Provider provider)
{
	Connection *connection = connection_read(server, provider);

	connection_require(connection, "base_url", connection->base_url, "https://…");
	return connection;
}

/* The server of this name; NULL means the setting's. */
static ForeignServer *
connection_choose_server(const char *name, Provider provider)
{
	const char *setting =
		provider == PROVIDER_CANOPY ? setting_canopy_server : setting_summit_server;

	return connection_find_server(name ? name : setting, provider);
}

/*
 * The name of a server that is asked for what is stored of it, and not sent anything: it
 * may lack a base_url.  NULL means the setting's server.  Errors: 42704 no such server,
 * 42809 a server of another wrapper, 42501 no USAGE.
 */
const char *
connection_server(const char *name, Provider provider)
{
	return connection_choose_server(name, provider)->servername;
}

/*
 * The server as a Connection without credentials, in the current memory
 * context.  NULL means the setting's server.  Errors: 42704 no such server,
 * 42809 a server of another wrapper, 42501 no USAGE, 22023 no base_url.
 */
Connection *
connection_open(const char *name, Provider provider)
{
	return connection_of(connection_choose_server(name, provider), provider);
}

/*
 * A server as connection_open() has it, but of whichever API, and one that lacks a
 * base_url too.  Errors: 42704 no such server, 42809 it is not one of ours, 42501 no USAGE.
 */
Connection *
connection_inspect(const char *name)
{
	Provider provider;
	ForeignServer *server = connection_find_any_server(name, &provider);

	connection_check_right(server);
	return connection_read(server, provider);
}

/*
 * The server as connection_open() has it, known already, whatever it is called by now;
 * `name` is what to call it if it is gone, which is error 42704.
 */
Connection *
connection_open_oid(Oid oid, const char *name)
{
	ForeignServer *server = GetForeignServerExtended(oid, FSV_MISSING_OK);
	Provider provider;

	if (server == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						OidIsValid(oid) ? errmsg("server \"%s\" was dropped", name)
										: errmsg("server \"%s\" does not exist", name)));
	provider = connection_provider_of(server);
	connection_check_right(server);
	return connection_of(server, provider);
}

/* Options of a role's mapping, else PUBLIC's; false if neither is there. */
static bool
mapping_options(Oid server, Oid role, List **options, bool *is_public)
{
	HeapTuple tuple;
	Datum datum;
	bool isnull;

	tuple =
		SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role), ObjectIdGetDatum(server));
	*is_public = !HeapTupleIsValid(tuple);
	if (*is_public)
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(server));
	if (!HeapTupleIsValid(tuple))
		return false;
	datum = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	*options = isnull ? NIL : untransformRelOptions(datum);
	ReleaseSysCache(tuple);
	return true;
}

/* Options of the current role's mapping; an error with the statement to run if it has none. */
static List *
connection_mapping_options(const Connection *connection, bool *is_public)
{
	List *options;

	if (!mapping_options(connection->server_oid, GetUserId(), &options, is_public))
	{
		const char *role = quote_identifier(GetUserNameFromId(GetUserId(), false));

		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role \"%s\" has no user mapping for server \"%s\"",
							   GetUserNameFromId(GetUserId(), false), connection->server),
						errhint("CREATE USER MAPPING FOR %s SERVER %s OPTIONS (%s);", role,
								quote_identifier(connection->server),
								connection->provider == PROVIDER_ENDPOINT
									? "webhook_secret_file '/…'"
									: "client_id '…', client_secret_file '/…'")));
	}
	return options;
}

/* Error 42704: the current role has no mapping, and there is none for PUBLIC. */
void
connection_check_mapping(const Connection *connection)
{
	bool is_public;

	(void) connection_mapping_options(connection, &is_public);
}

/*
 * Put client_id and client_secret of the current role into the Connection, or of an
 * endpoint what its webhooks are signed with; of a file with several client secrets the
 * first.  Errors: 42704 no mapping, 22023 an option is missing, and those of
 * secret_read_file().
 */
void
connection_authenticate(Connection *connection)
{
	bool is_endpoint = connection->provider == PROVIDER_ENDPOINT;
	const char *missing;
	bool is_public;

	option_read(connection_mapping_options(connection, &is_public),
				is_endpoint ? OPTION_FOR_SIGNING : OPTION_FOR_CONNECTION, connection);
	if (is_endpoint)
		missing = connection->signing_secrets == NIL ? "webhook_secret_file" : NULL;
	else
		missing = connection->client_id == NULL       ? "client_id"
				  : connection->client_secret == NULL ? "client_secret_file"
													  : NULL;
	if (missing != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("user mapping for server \"%s\" has no %s", connection->server, missing),
				 errhint("ALTER USER MAPPING FOR %s SERVER %s OPTIONS (ADD %s '…');",
						 is_public ? "PUBLIC"
								   : quote_identifier(GetUserNameFromId(GetUserId(), false)),
						 quote_identifier(connection->server), missing)));
}

/* What the webhooks of a server are verified with, but for the secrets. */
static WebhookSource *
webhook_source_read(const char *name)
{
	WebhookSource *source = palloc0(sizeof(WebhookSource));
	ForeignServer *server;

	server = connection_find_any_server(name, &source->provider);
	if (source->provider == PROVIDER_ENDPOINT) /* it is told, and tells nothing */
		connection_refuse(server);
	source->environment = "production";
	source->tolerance = source->provider == PROVIDER_CANOPY ? CANOPY_TOLERANCE : SUMMIT_TOLERANCE;
	source->server_oid = server->serverid;
	source->server = server->servername;
	source->role = server->owner;
	option_read(server->options, OPTION_FOR_WEBHOOKS, source);
	return source;
}

/* Whose mapping has the secrets of a server's webhooks; InvalidOid = a role that is gone.  Errors: 42704, 42809. */
Oid
connection_webhook_role(const char *name)
{
	return webhook_source_read(name)->role;
}

/*
 * What the webhooks of a server are verified with: the secrets in the mapping
 * of its webhook_role, which is the server's owner unless an option names
 * another.  Nobody's right to the server matters here.  Errors: 42704 no such
 * server, 42809 it is not one of ours, and those of secret_read_file().
 */
WebhookSource *
connection_webhook(const char *name)
{
	WebhookSource *source = webhook_source_read(name);
	List *options = NIL;
	bool is_public;

	if (OidIsValid(source->role) &&
		mapping_options(source->server_oid, source->role, &options, &is_public))
		option_read(options, OPTION_FOR_WEBHOOKS, source);
	return source;
}

/*
 * The file of the secrets that a server's webhooks are verified with; NULL if there is none, or
 * the mapping is not the current role's to see.
 */
const char *
connection_webhook_secret_file(const char *name)
{
	WebhookSource *source = webhook_source_read(name);
	List *options = NIL;
	ListCell *cell;
	bool is_public;

	if (!OidIsValid(source->role) || !has_privs_of_role(GetUserId(), source->role) ||
		!mapping_options(source->server_oid, source->role, &options, &is_public))
		return NULL;
	foreach(cell, options)
		if (strcmp(((DefElem *) lfirst(cell))->defname, "webhook_secret_file") == 0)
			return defGetString(lfirst(cell));
	return NULL;
}

/* Which servers functions take when they are given none, and how long a request may take. */
void
connection_settings(void)
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
}
