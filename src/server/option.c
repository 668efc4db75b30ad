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
#include "foreign/foreign.h"
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
#include "server/connection.h"
#include "server/option.h"
#include "server/provider.h"
#include "server/secret.h"

CONFIDENTIAL_FUNCTION(canopy_summit_canopy_validator);
CONFIDENTIAL_FUNCTION(canopy_summit_summit_validator);
CONFIDENTIAL_FUNCTION(canopy_summit_endpoint_validator);
PG_FUNCTION_INFO_V1(canopy_summit_server_option);

/* Refuse a bad value. */
typedef void (*OptionCheck)(const char *name, const char *value);

/* Put a value where it is used; one that cannot be read is refused. */
typedef void (*OptionRead)(const char *name, const char *value, void *place);

typedef enum OptionRight
{
	RIGHT_OWNER, /* whoever may alter the object */
	RIGHT_SUPERUSER,
	RIGHT_READ_SERVER_FILES /* members of pg_read_server_files */
} OptionRight;

typedef struct Option
{
	const char *name;
	Oid catalog;   /* ForeignServerRelationId or UserMappingRelationId */
	int providers; /* whose servers know it, as OF_CANOPY and so on */
	OptionRight right;
	OptionCheck check; /* NULL = what can be read does */
	OptionRead read;
	size_t
		places[OPTION_READERS]; /* of the value, in what each reader fills; 0 = it is not for him */
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

/* ISO 3166-1 alpha-2, which says which of them are somebody's. */
static void
check_country(const char *name, const char *value)
{
	if (strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 2 || value[2] != '\0')
		option_refuse(name, value, "Use a country's two letters, such as CA.");
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

/* Microseconds of an interval up to a day, read without interval_in(), whose errors would not name the option. */
static void
read_tolerance(const char *name, const char *value, void *place)
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
	*(int64 *) place = interval.tm_mday * USECS_PER_DAY + interval.tm_usec;
}

static void
read_rate(const char *name, const char *value, void *place)
{
	double *rate = place;

	if (!parse_real(value, rate, 0, NULL) || *rate <= 0 || *rate > 1e6)
		option_refuse(name, value, "Use a number above 0 and up to 1000000.");
}

static void
read_connections(const char *name, const char *value, void *place)
{
	int *connections = place;

	if (!parse_int(value, connections, 0, NULL) || *connections < 1 || *connections > 1000)
		option_refuse(name, value, "Use a whole number from 1 to 1000.");
}

static void
read_auth(const char *name, const char *value, void *place)
{
	static const char *const words[] = {[AUTH_SCHEME_BASIC] = "basic",
										[AUTH_SCHEME_HEADER_PAIR] = "header_pair",
										[AUTH_SCHEME_APP] = "app"};

	for (int i = 0; i < lengthof(words); i++)
		if (strcmp(value, words[i]) == 0)
		{
			*(AuthScheme *) place = i;
			return;
		}
	option_refuse(name, value, "Valid values are: basic, header_pair, app.");
}

static void
read_boolean(const char *name, const char *value, void *place)
{
	if (!parse_bool(value, place))
		option_refuse(name, value, "Valid values are: true, false.");
}

/* A duration such as "30s" or "500ms" in milliseconds; bare numbers are seconds. */
static void
read_duration(const char *name, const char *value, void *place)
{
	bool bare = *value != '\0' && strspn(value, "0123456789") == strlen(value);
	int amount;

	if (!parse_int(value, &amount, bare ? GUC_UNIT_S : GUC_UNIT_MS, NULL) || amount < 1 ||
		amount > (bare ? 3600 : 3600 * 1000))
		option_refuse(name, value, "Use a duration from 1ms to 1h, such as 30s.");
	*(int *) place = bare ? amount * 1000 : amount;
}

/* What stands between commas, without the blanks around it: a List of char *. */
static List *
split_list(const char *value)
{
	List *items = NIL;
	char *rest = pstrdup(value);
	char *item;

	while ((item = strsep(&rest, ",")) != NULL)
	{
		size_t len;

		item += strspn(item, " ");
		len = strlen(item);
		while (len > 0 && item[len - 1] == ' ')
			item[--len] = '\0';
		items = lappend(items, item);
	}
	return items;
}

/* Host names separated by commas, lower case. */
static void
read_hosts(const char *name, const char *value, void *place)
{
	List *hosts = split_list(value);
	ListCell *cell;

	foreach(cell, hosts)
	{
		char *host = lfirst(cell);
		size_t len = strlen(host);

		if (len == 0 ||
			strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != len)
			option_refuse(name, value, "Use host names separated by commas, without ports.");
		for (char *c = host; *c; c++)
			*c = pg_ascii_tolower((unsigned char) *c);
	}
	*(List **) place = hosts;
}

/* Refuse a list that has a word which is not known. */
static void
check_words(const char *name, const char *value, const char *const *known, int count,
			const char *hint)
{
	ListCell *cell;

	foreach(cell, split_list(value))
	{
		int i = 0;

		while (i < count && strcmp(known[i], lfirst(cell)) != 0)
			i++;
		if (i == count)
			option_refuse(name, value, hint);
	}
}

/* Which files of a pull: types of documents as the API has them (schema Document), or kinds of other files. */
static void
check_documents(const char *name, const char *value)
{
	static const char *const known[] = {"INSURANCE_APPLICATION",
										"INSURANCE_BINDER",
										"DECLARATIONS",
										"ENDORSEMENT",
										"INSURANCE_ID_CARD",
										"VERIFICATION_OF_INSURANCE",
										"LOSS_RUN",
										"ESIGN_PACKET",
										"NOTICE_OF_CANCELLATION",
										"CANCELLATION",
										"NONRENEWAL_NOTICE",
										"ESIGNATURE",
										"QUOTE",
										"NOTES",
										"answer_file",
										"policy_check",
										"policy_form"};
	bool all;

	if (!parse_bool(value, &all))
		check_words(
			name, value, known, lengthof(known),
			"Use true, false, or a list of: INSURANCE_APPLICATION, INSURANCE_BINDER, DECLARATIONS, "
			"ENDORSEMENT, INSURANCE_ID_CARD, VERIFICATION_OF_INSURANCE, LOSS_RUN, ESIGN_PACKET, "
			"NOTICE_OF_CANCELLATION, CANCELLATION, NONRENEWAL_NOTICE, ESIGNATURE, QUOTE, NOTES, "
			"answer_file, policy_check, policy_form.");
}

/* Whether all between commas is something. */
static void
check_list(const char *name, const char *value)
{
	ListCell *cell;

	check_not_empty(name, value);
	foreach(cell, split_list(value))
		if (*(const char *) lfirst(cell) == '\0')
			option_refuse(name, value, "Use a list separated by commas, or drop the option.");
}

/* Which events an endpoint is told. */
static void
check_events(const char *name, const char *value)
{
	static const char *const known[] = {"policy.submitted", "policy.verified", "policy.lapsed",
										"policy.reinstated"};

	check_words(name, value, known, lengthof(known),
				"Use a list of: policy.submitted, policy.verified, policy.lapsed, "
				"policy.reinstated.");
}

static void
read_text(const char *name, const char *value, void *place)
{
	*(const char **) place = value;
}

/* A URL without a trailing slash. */
static void
read_url(const char *name, const char *value, void *place)
{
	size_t len = strlen(value);

	while (len > 0 && value[len - 1] == '/')
		len--;
	*(const char **) place = pnstrdup(value, len);
}

/* A role, which may be gone. */
static void
read_role(const char *name, const char *value, void *place)
{
	*(Oid *) place = get_role_oid(value, true);
}

static void
read_first_secret(const char *name, const char *value, void *place)
{
	*(const char **) place = linitial(secret_read_file(value));
}

static void
read_secret(const char *name, const char *value, void *place)
{
	*(List **) place = list_make1(unconstify(char *, value));
}

static void
read_secrets(const char *name, const char *value, void *place)
{
	*(List **) place = secret_read_file(value);
}

#define SERVER  ForeignServerRelationId
#define MAPPING UserMappingRelationId

#define CONNECTION(member) [OPTION_FOR_CONNECTION] = offsetof(Connection, member)
#define WEBHOOKS(member)   [OPTION_FOR_WEBHOOKS] = offsetof(WebhookSource, member)
#define SIGNING(member)    [OPTION_FOR_SIGNING] = offsetof(Connection, member)

/* clang-format off */
static const Option options[] = {
	{"environment", SERVER, OF_ALL, RIGHT_OWNER, check_environment, read_text, {CONNECTION(environment), WEBHOOKS(environment)}},
	{"base_url", SERVER, OF_ALL, RIGHT_SUPERUSER, check_url, read_url, {CONNECTION(base_url)}},
	{"auth_url", SERVER, OF_APIS, RIGHT_SUPERUSER, check_url, read_url, {CONNECTION(auth_url)}},
	{"ca_file", SERVER, OF_ALL, RIGHT_SUPERUSER, check_path, read_text, {CONNECTION(ca_file)}},
	{"download_hosts", SERVER, OF_APIS, RIGHT_SUPERUSER, NULL, read_hosts, {CONNECTION(download_hosts)}},
	{"allow_private_addresses", SERVER, OF_ALL, RIGHT_SUPERUSER, NULL, read_boolean, {CONNECTION(allow_private_addresses)}},
	{"team_id", SERVER, OF_CANOPY, RIGHT_OWNER, check_not_empty, read_text, {CONNECTION(team_id)}},
	{"auth", SERVER, OF_CANOPY, RIGHT_OWNER, NULL, read_auth, {CONNECTION(auth)}},
	{"public_alias", SERVER, OF_CANOPY, RIGHT_OWNER, check_not_empty, read_text, {CONNECTION(public_alias)}},
	{"link_metadata_prefix", SERVER, OF_CANOPY, RIGHT_OWNER, check_not_empty, read_text, {CONNECTION(link_metadata_prefix)}},
	{"with_property_data", SERVER, OF_CANOPY, RIGHT_OWNER, NULL, read_boolean, {CONNECTION(with_property_data)}},
	{"download_documents", SERVER, OF_CANOPY, RIGHT_OWNER, check_documents, NULL, {0}},
	{"country", SERVER, OF_SUMMIT | OF_ENDPOINT, RIGHT_OWNER, check_country, NULL, {0}},
	{"scope", SERVER, OF_APIS, RIGHT_OWNER, check_not_empty, read_text, {CONNECTION(scope)}},
	{"webhook_role", SERVER, OF_ALL, RIGHT_OWNER, check_not_empty, read_role, {WEBHOOKS(role)}},
	{"webhook_tolerance", SERVER, OF_APIS, RIGHT_OWNER, NULL, read_tolerance, {WEBHOOKS(tolerance)}},
	{"requests_per_second", SERVER, OF_ALL, RIGHT_OWNER, NULL, read_rate, {CONNECTION(requests_per_second)}},
	{"max_connections", SERVER, OF_ALL, RIGHT_OWNER, NULL, read_connections, {CONNECTION(max_connections)}},
	{"connect_timeout", SERVER, OF_ALL, RIGHT_OWNER, NULL, read_duration, {CONNECTION(connect_timeout)}},
	{"timeout", SERVER, OF_ALL, RIGHT_OWNER, NULL, read_duration, {CONNECTION(timeout)}},
	{"events", SERVER, OF_ENDPOINT, RIGHT_OWNER, check_events, NULL, {0}},
	{"property_ids", SERVER, OF_ENDPOINT, RIGHT_OWNER, check_list, NULL, {0}},
	{"client_id", MAPPING, OF_APIS, RIGHT_OWNER, check_not_empty, read_text, {CONNECTION(client_id)}},
	{"client_secret", MAPPING, OF_APIS, RIGHT_OWNER, check_secret, read_text, {CONNECTION(client_secret)}},
	{"webhook_secret", MAPPING, OF_ALL, RIGHT_OWNER, check_secret, read_secret, {WEBHOOKS(secrets), SIGNING(signing_secrets)}},
	{"client_secret_file", MAPPING, OF_APIS, RIGHT_READ_SERVER_FILES, check_path, read_first_secret, {CONNECTION(client_secret)}},
	{"webhook_secret_file", MAPPING, OF_ALL, RIGHT_READ_SERVER_FILES, check_path, read_secrets, {WEBHOOKS(secrets), SIGNING(signing_secrets)}},
};
/* clang-format on */

/* Refuse a value that does not do. */
static void
option_check(const Option *option, const char *value)
{
	union
	{
		bool boolean;
		int number;
		int64 microseconds;
		double rate;
		AuthScheme auth;
		List *list;
	} unused;

	if (option->check != NULL)
		option->check(option->name, value);
	else
		option->read(option->name, value, &unused);
}

static bool
option_fits(const Option *option, Oid catalog, Provider provider)
{
	return option->catalog == catalog && (option->providers & 1 << provider) != 0;
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
		option_check(option, defGetString(definition));
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

/* canopy_summit.webhook_endpoint_validator(text[], oid) -> void */
static Datum
canopy_summit_endpoint_validator_confidential(PG_FUNCTION_ARGS)
{
	option_validate(untransformRelOptions(PG_GETARG_DATUM(0)), PG_GETARG_OID(1), PROVIDER_ENDPOINT);
	PG_RETURN_VOID();
}

/* canopy_summit.summit_api_validator(text[], oid) -> void */
static Datum
canopy_summit_summit_validator_confidential(PG_FUNCTION_ARGS)
{
	option_validate(untransformRelOptions(PG_GETARG_DATUM(0)), PG_GETARG_OID(1), PROVIDER_SUMMIT);
	PG_RETURN_VOID();
}

/* Put the options of a server or a mapping into what a reader fills.  Errors: those of secret_read_file(). */
void
option_read(List *definitions, OptionReader reader, void *target)
{
	ListCell *cell;

	foreach(cell, definitions)
	{
		DefElem *definition = lfirst_node(DefElem, cell);

		for (int i = 0; i < lengthof(options); i++)
			if (options[i].places[reader] != 0 && strcmp(options[i].name, definition->defname) == 0)
				options[i].read(options[i].name, defGetString(definition),
								(char *) target + options[i].places[reader]);
	}
}

/* Refuse a value, whoever it is from, that an option would not take either. */
void
option_check_as(const char *name, const char *value)
{
	for (int i = 0; i < lengthof(options); i++)
		if (strcmp(options[i].name, name) == 0)
			option_check(&options[i], value);
}

/* canopy_summit.server_option(server_oid oid, option text, otherwise text) -> text */
Datum
canopy_summit_server_option(PG_FUNCTION_ARGS)
{
	ForeignServer *server =
		PG_ARGISNULL(0) ? NULL : GetForeignServerExtended(PG_GETARG_OID(0), FSV_MISSING_OK);
	char *name;
	ListCell *cell;

	if (server == NULL || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	foreach(cell, server->options)
	{
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0)
			PG_RETURN_TEXT_P(cstring_to_text(defGetString(option)));
	}
	if (PG_ARGISNULL(2))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(2));
}
