/*
 * connection.h
 *	  One API environment with one role's credentials, as server and user mapping say.
 */
#ifndef CANOPY_SUMMIT_SERVER_CONNECTION_H
#define CANOPY_SUMMIT_SERVER_CONNECTION_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "server/provider.h"

typedef enum AuthScheme
{
	AUTH_SCHEME_BASIC,
	AUTH_SCHEME_HEADER_PAIR,
	AUTH_SCHEME_APP
} AuthScheme;

typedef struct Connection
{
	Oid server_oid;
	const char *server; /* name of the foreign server */
	Provider provider;
	const char *environment;
	const char *base_url; /* without a trailing slash */
	const char *auth_url; /* where tokens come from, without a trailing slash; NULL = none */
	const char *scope;    /* of tokens */
	const char *ca_file;  /* NULL = only the system's CAs */
	List *download_hosts; /* of char *, lower case */
	bool allow_private_addresses;
	AuthScheme auth;
	const char *team_id; /* NULL = not set */
	const char *public_alias;
	const char *link_metadata_prefix;
	bool with_property_data;
	int connect_timeout;        /* ms */
	int timeout;                /* ms */
	int max_connections;        /* at once, of all roles */
	double requests_per_second; /* of all roles; 0 = unlimited */
	const char *client_id;      /* NULL until connection_authenticate() */
	const char *client_secret;
	const char *access_token; /* NULL unless somebody has put one here */
	List *signing_secrets;    /* of char *, of an endpoint; NIL until connection_authenticate() */
	const char *granted;      /* with auth 'app': the scopes of that token, with commas between */
} Connection;

/* What a server's webhooks are verified with. */
typedef struct WebhookSource
{
	Oid server_oid;
	const char *server;
	Provider provider;
	const char *environment;
	Oid role;        /* whose mapping has the secrets */
	int64 tolerance; /* microseconds between signing and receipt */
	List *secrets;   /* of char *; NIL = its webhook_role has none */
} WebhookSource;

extern char *setting_canopy_server;
extern char *setting_summit_server;
extern int setting_http_timeout; /* ms */

extern void connection_settings(void);
extern Provider connection_provider(const char *server);
extern const char *connection_server(const char *server, Provider provider);
extern Connection *connection_open(const char *server, Provider provider);
extern Connection *connection_open_oid(Oid server, const char *name);
extern Connection *connection_inspect(const char *server);
extern void connection_require(const Connection *connection, const char *option, const char *value,
							   const char *example);
extern void connection_check_mapping(const Connection *connection);
extern void connection_authenticate(Connection *connection);
extern Oid connection_webhook_role(const char *server);
extern WebhookSource *connection_webhook(const char *server);
extern const char *connection_webhook_secret_file(const char *server);

#endif /* CANOPY_SUMMIT_SERVER_CONNECTION_H */
