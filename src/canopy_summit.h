/*
 * canopy_summit.h
 *	  What more than one source file needs, grouped by the file that owns it.
 *
 * The call graph is acyclic: entry points (canopy.c) use provider storage
 * (pull.c), storage uses shredding and reading (shred.c, coerce.c, json.c),
 * and entry points send through http.c by way of request.c and connection.c.
 */
#ifndef CANOPY_SUMMIT_H
#define CANOPY_SUMMIT_H

#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "portability/instr_time.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* which of the two APIs a server or an operation belongs to */
typedef enum Provider
{
	PROVIDER_CANOPY,
	PROVIDER_SUMMIT
} Provider;

/* Milliseconds of a clock that nobody sets. */
static inline int64
monotonic_now(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

/* settings: canopy_summit.c */
extern char *setting_canopy_server;
extern char *setting_summit_server;
extern int setting_http_connect_timeout; /* ms */
extern int setting_http_timeout;         /* ms */
extern int setting_max_response_size;    /* kB */
extern int setting_max_document_size;    /* kB */

/* levels of grant_access that C asks about: privilege.c */
extern bool privilege_reads_pii(void);
extern bool privilege_is_admin(void);
extern Oid privilege_extension_owner(void);

/* as whom and how the engine's own statements run: engine.c */
typedef struct Engine
{
	Oid role;
	int security;
	int nest_level; /* of settings; 0 = none were made */
} Engine;

extern void engine_enter(Engine *engine);
extern void engine_begin(Engine *engine);
extern void engine_set_planner(void);
extern void engine_end(Engine *engine);
extern Datum bytes_datum(const void *bytes, size_t len);

/* one API environment with one role's credentials: connection.c */
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
	const char *access_token; /* NULL unless a worker has put one here */
} Connection;

extern Provider connection_provider(const char *server);
extern Connection *connection_open(const char *server, Provider provider);
extern Connection *connection_open_oid(Oid server, const char *name);
extern void connection_authenticate(Connection *connection);

/* what a server's webhooks are verified with */
typedef struct WebhookSource
{
	Oid server_oid;
	const char *server;
	Provider provider;
	const char *environment;
	int64 tolerance; /* microseconds between signing and receipt */
	List *secrets;   /* of char *; NIL = its webhook_role has none */
} WebhookSource;

extern WebhookSource *connection_webhook(const char *server);

/* secrets in files: secret.c */
extern List *secret_read_file(const char *path);

/* names and values that servers and user mappings accept: option.c */
extern int option_parse_duration(const char *name, const char *value);
extern int64 option_parse_tolerance(const char *name, const char *value);
extern List *option_parse_hosts(const char *value);
extern bool option_parse_boolean(const char *name, const char *value);

/* JSON from outside: json.c */
#define JSON_MAX_DEPTH 1000

extern Jsonb *json_read(const char *bytes, size_t len, List **replaced, const char **problem);
extern Jsonb *json_read_nested(const char *bytes, int len);
extern const char *json_text_field(Jsonb *json, const char *key);
extern const char *json_key_label(const char *key, int len);
extern List *json_add_path(List *paths, const char *path);

/* a JSON value as a value of a column: coerce.c */
typedef enum ColumnKind
{
	COLUMN_UNSUPPORTED,
	COLUMN_TEXT,
	COLUMN_TEXT_ARRAY,
	COLUMN_BOOLEAN,
	COLUMN_INTEGER,
	COLUMN_BIGINT,
	COLUMN_CENTS, /* a bigint that its numeric(14,2) twin can hold */
	COLUMN_NUMERIC,
	COLUMN_DOUBLE,
	COLUMN_DATE,
	COLUMN_TIMESTAMPTZ,
	COLUMN_JSONB
} ColumnKind;

extern ColumnKind coerce_kind(Oid type, const char *column);
extern bool coerce_value(ColumnKind kind, JsonbValue *value, Datum *result, bool *isnull);

/* versions of pulls: pull.c */
typedef struct PullSource
{
	const char *server;
	const char *environment;
	const char *stored_by;        /* role */
	const char *expected_pull_id; /* NULL = any */
	TimestampTz fetched_at;       /* when the request started */
	List *replaced;               /* paths that json_read() had to replace */
	const char *received;         /* the bytes received, kept when replaced is not empty */
	size_t received_len;
} PullSource;

typedef struct PullResult
{
	const char *pull_id;
	int version;
	bool changed;
	const char *status; /* NULL = the pull has none */
} PullResult;

extern PullResult pull_store(Jsonb *document, const PullSource *source);
extern bool pull_is_stored(const char *server, const char *pull_id);

#endif /* CANOPY_SUMMIT_H */
