/*
 * option.c
 *	  Options of servers and user mappings: which exist, who may set them,
 *	  which values they take.
 *
 * A validator sees the merged list of a CREATE or ALTER.  A reserved option in
 * it, old or new, is refused to anybody without the right, so that nobody can
 * redirect a server that others trust with their secrets by altering something
 * else on it.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/reloptions.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/confidential.h"
#include "base/place.h"
#include "server/option.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_canopy_validator);
CONFIDENTIAL_FUNCTION(canopy_summit_summit_validator);

typedef void (*OptionCheck)(const char *name, const char *value);

typedef enum OptionRight
{
	RIGHT_OWNER, /* whoever may alter the object */
	RIGHT_SUPERUSER,
	RIGHT_READ_SERVER_FILES /* members of pg_read_server_files */
} OptionRight;

typedef struct Option
{
	const char *name;
	Oid catalog; /* ForeignServerRelationId or UserMappingRelationId */
	bool canopy; /* known to canopy_api */
	bool summit; /* known to summit_api */
	OptionRight right;
	OptionCheck check;
} Option;

/* Raise the one error that every bad value gets. */
static void
option_refuse(const char *name, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"", name, value), errhint("%s", hint)));
}

static void
check_not_empty(const char *name, const char *value)
{
	for (const char *c = value; *c; c++)
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			option_refuse(name, "…", "Use a value without control characters.");
	if (*value == '\0')
		option_refuse(name, value, "Use a value that is not empty, or drop the option.");
}

/* Secrets are checked without being shown. */
static void
check_secret(const char *name, const char *value)
{
	if (*value == '\0' || strpbrk(value, "\r\n") != NULL)
		option_refuse(name, "…", "Use one line that is not empty.");
}

static void
check_environment(const char *name, const char *value)
{
	if (strcmp(value, "production") != 0 && strcmp(value, "sandbox") != 0)
		option_refuse(name, value, "Valid values are: production, sandbox.");
}

static void
check_auth(const char *name, const char *value)
{
	if (strcmp(value, "basic") != 0 && strcmp(value, "header_pair") != 0 &&
		strcmp(value, "app") != 0)
		option_refuse(name, value, "Valid values are: basic, header_pair, app.");
}

static void
check_boolean(const char *name, const char *value)
{
	(void) option_parse_boolean(name, value);
}

/* https, a host, an optional port and path; nothing that could hide another target. */
static void
check_url(const char *name, const char *value)
{
	const char *hint = "Use https://host[:port][/path] without user, query or fragment.";

	if (strncmp(value, "https://", 8) != 0 || value[8] == '\0' || value[8] == '/' ||
		value[8] == ':')
		option_refuse(name, value, hint);
	for (const char *c = value; *c; c++)
		if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f ||
			strchr("@?#\\\"<>^`{|}", *c))
			option_refuse(name, value, hint);
}

static void
check_path(const char *name, const char *value)
{
	char *path;

	if (!is_absolute_path(value) || strpbrk(value, "\r\n") != NULL)
		option_refuse(name, value, "Use an absolute path.");
	for (const char *dots = value; (dots = strstr(dots, "/..")) != NULL; dots += 3)
		if (dots[3] == '/' || dots[3] == '\0')
			option_refuse(name, value, "Use a path without \"..\".");
	path = pstrdup(value);
	canonicalize_path(path);
	if (place_problem(path) != NULL)
		option_refuse(name, value,
					  "Use a path outside the data directory, which backups copy, and outside "
					  "/proc, /sys and /dev.");
}

static void
check_hosts(const char *name, const char *value)
{
	if (option_parse_hosts(value) == NIL)
		option_refuse(name, value, "Use host names separated by commas, without ports.");
}

static void
check_duration(const char *name, const char *value)
{
	(void) option_parse_duration(name, value);
}

/* Microseconds of an interval up to a day, read without interval_in(), whose errors would not name the option. */
int64
option_parse_tolerance(const char *name, const char *value)
{
	char buffer[MAXDATELEN];
	char *fields[MAXDATEFIELDS];
	int types[MAXDATEFIELDS];
	int count;
	int type;
	struct pg_itm_in interval = {0};

	if (ParseDateTime(value, buffer, sizeof(buffer), fields, types, MAXDATEFIELDS, &count) != 0 ||
		DecodeInterval(fields, types, count, INTERVAL_FULL_RANGE, &type, &interval) != 0 ||
		type != DTK_DELTA || interval.tm_year != 0 || interval.tm_mon != 0 ||
		interval.tm_mday < 0 || interval.tm_mday > 1 || interval.tm_usec < 0 ||
		interval.tm_usec > USECS_PER_DAY ||
		interval.tm_mday * USECS_PER_DAY + interval.tm_usec > USECS_PER_DAY)
		option_refuse(name, value, "Use an interval from 0 to 1 day.");
	return interval.tm_mday * USECS_PER_DAY + interval.tm_usec;
}

static void
check_tolerance(const char *name, const char *value)
{
	(void) option_parse_tolerance(name, value);
}

static void
check_rate(const char *name, const char *value)
{
	double rate;

	if (!parse_real(value, &rate, 0, NULL) || rate <= 0 || rate > 1e6)
		option_refuse(name, value, "Use a number above 0 and up to 1000000.");
}

static void
check_connections(const char *name, const char *value)
{
	int connections;

	if (!parse_int(value, &connections, 0, NULL) || connections < 1 || connections > 1000)
		option_refuse(name, value, "Use a whole number from 1 to 1000.");
}

#define SERVER  ForeignServerRelationId
#define MAPPING UserMappingRelationId

static const Option options[] = {
	{"environment", SERVER, true, true, RIGHT_OWNER, check_environment},
	{"base_url", SERVER, true, true, RIGHT_SUPERUSER, check_url},
	{"auth_url", SERVER, true, true, RIGHT_SUPERUSER, check_url},
	{"ca_file", SERVER, true, true, RIGHT_SUPERUSER, check_path},
	{"download_hosts", SERVER, true, true, RIGHT_SUPERUSER, check_hosts},
	{"allow_private_addresses", SERVER, true, true, RIGHT_SUPERUSER, check_boolean},
	{"team_id", SERVER, true, false, RIGHT_OWNER, check_not_empty},
	{"auth", SERVER, true, false, RIGHT_OWNER, check_auth},
	{"public_alias", SERVER, true, false, RIGHT_OWNER, check_not_empty},
	{"link_metadata_prefix", SERVER, true, false, RIGHT_OWNER, check_not_empty},
	{"with_property_data", SERVER, true, false, RIGHT_OWNER, check_boolean},
	{"download_documents", SERVER, true, false, RIGHT_OWNER, check_boolean},
	{"scope", SERVER, true, true, RIGHT_OWNER, check_not_empty},
	{"webhook_role", SERVER, true, true, RIGHT_OWNER, check_not_empty},
	{"webhook_tolerance", SERVER, true, true, RIGHT_OWNER, check_tolerance},
	{"requests_per_second", SERVER, true, true, RIGHT_OWNER, check_rate},
	{"max_connections", SERVER, true, true, RIGHT_OWNER, check_connections},
	{"connect_timeout", SERVER, true, true, RIGHT_OWNER, check_duration},
	{"timeout", SERVER, true, true, RIGHT_OWNER, check_duration},
	{"client_id", MAPPING, true, true, RIGHT_OWNER, check_not_empty},
	{"client_secret", MAPPING, true, true, RIGHT_OWNER, check_secret},
	{"webhook_secret", MAPPING, true, true, RIGHT_OWNER, check_secret},
	{"client_secret_file", MAPPING, true, true, RIGHT_READ_SERVER_FILES, check_path},
	{"webhook_secret_file", MAPPING, true, true, RIGHT_READ_SERVER_FILES, check_path},
};

static bool
option_fits(const Option *option, Oid catalog, Provider provider)
{
	return option->catalog == catalog &&
		   (provider == PROVIDER_CANOPY ? option->canopy : option->summit);
}

/* Raise the error for an unknown name, with the names there are. */
static void
option_unknown(const char *name, Oid catalog, Provider provider)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(options); i++)
		if (option_fits(&options[i], catalog, provider))
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", options[i].name);
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", name),
					names.len > 0 ? errhint("Valid options here are: %s.", names.data)
								  : errhint("There are no valid options here.")));
}

/* Refuse an option that the current role may not have in the result. */
static void
option_check_right(const Option *option)
{
	if (option->right == RIGHT_SUPERUSER && !superuser())
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to create or alter a server with option \"%s\"",
					option->name),
			 errhint(
				 "Only a superuser may, because the option decides where credentials are sent.")));
	if (option->right == RIGHT_READ_SERVER_FILES &&
		!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to create or alter a user mapping with option \"%s\"",
					option->name),
			 errhint(
				 "Only members of role pg_read_server_files may, because the option names a file.")));
}

static bool
option_is_given(List *definitions, const char *name)
{
	ListCell *cell;

	foreach(cell, definitions)
		if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0)
			return true;
	return false;
}

/* A secret comes from one place. */
static void
option_check_exclusive(List *definitions, const char *inlined, const char *file)
{
	if (option_is_given(definitions, inlined) && option_is_given(definitions, file))
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
						errmsg("options \"%s\" and \"%s\" exclude each other", inlined, file),
						errhint("Drop one of them.")));
}

static void
option_validate(List *definitions, Oid catalog, Provider provider)
{
	ListCell *cell;

	foreach(cell, definitions)
	{
		DefElem *definition = lfirst_node(DefElem, cell);
		const Option *option = NULL;

		for (int i = 0; i < lengthof(options) && option == NULL; i++)
			if (option_fits(&options[i], catalog, provider) &&
				strcmp(options[i].name, definition->defname) == 0)
				option = &options[i];
		if (option == NULL)
			option_unknown(definition->defname, catalog, provider);
		option_check_right(option);
		option->check(option->name, defGetString(definition));
	}
	option_check_exclusive(definitions, "client_secret", "client_secret_file");
	option_check_exclusive(definitions, "webhook_secret", "webhook_secret_file");
}

/* canopy_summit.canopy_api_validator(text[], oid) -> void */
static Datum
canopy_summit_canopy_validator_confidential(PG_FUNCTION_ARGS)
{
	option_validate(untransformRelOptions(PG_GETARG_DATUM(0)), PG_GETARG_OID(1), PROVIDER_CANOPY);
	PG_RETURN_VOID();
}

/* canopy_summit.summit_api_validator(text[], oid) -> void */
static Datum
canopy_summit_summit_validator_confidential(PG_FUNCTION_ARGS)
{
	option_validate(untransformRelOptions(PG_GETARG_DATUM(0)), PG_GETARG_OID(1), PROVIDER_SUMMIT);
	PG_RETURN_VOID();
}

/* A duration such as "30s" or "500ms" in milliseconds; bare numbers are seconds. */
int
option_parse_duration(const char *name, const char *value)
{
	bool bare = *value != '\0' && strspn(value, "0123456789") == strlen(value);
	int amount;

	if (!parse_int(value, &amount, bare ? GUC_UNIT_S : GUC_UNIT_MS, NULL) || amount < 1 ||
		amount > (bare ? 3600 : 3600 * 1000))
		option_refuse(name, value, "Use a duration from 1ms to 1h, such as 30s.");
	return bare ? amount * 1000 : amount;
}

/* Host names separated by commas, lower case; NIL if one of them is none. */
List *
option_parse_hosts(const char *value)
{
	List *hosts = NIL;
	char *rest = pstrdup(value);
	char *host;

	while ((host = strsep(&rest, ",")) != NULL)
	{
		size_t len;

		while (*host == ' ')
			host++;
		len = strlen(host);
		while (len > 0 && host[len - 1] == ' ')
			host[--len] = '\0';
		if (len == 0 ||
			strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != len)
			return NIL;
		for (char *c = host; *c; c++)
			*c = pg_ascii_tolower((unsigned char) *c);
		hosts = lappend(hosts, host);
	}
	return hosts;
}

bool
option_parse_boolean(const char *name, const char *value)
{
	bool result;

	if (!parse_bool(value, &result))
		option_refuse(name, value, "Valid values are: true, false.");
	return result;
}
