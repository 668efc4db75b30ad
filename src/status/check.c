/*
 * check.c
 *	  canopy_summit.check_server(): whether a server works, and what to do where it does not.
 *
 * Nothing is written, and what is sent is neither billed nor has an effect.  What is
 * wrong is a row and not an error; what the caller or the machine wants ends the call
 * all the same, such as a cancel.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"

#include "engine/argument.h"
#include "engine/subtransaction.h"
#include "engine/values.h"
#include "server/provider.h"
#include "status/check.h"

PG_FUNCTION_INFO_V1(canopy_summit_check_server);

/* The checks, each as a bit of what others need. */
typedef enum CheckBit
{
	USAGE = 1 << 0,
	BASE_URL = 1 << 1,
	AUTH_URL = 1 << 2,
	TEAM_ID = 1 << 3,
	MAPPING = 1 << 4,
	SECRET = 1 << 5,
	CA_FILE = 1 << 6,
	HOST = 1 << 7,
	TLS = 1 << 8,
	CREDENTIALS = 1 << 9,
	CLOCK = 1 << 10,
	WORKER = 1 << 11,
	RECEIVER = 1 << 12,
	WEBHOOK_SECRET = 1 << 13,
	WEBHOOK = 1 << 14
} CheckBit;

typedef struct Check
{
	CheckBit bit;
	const char *name;
	int providers;
	int needs; /* CheckBits of earlier ones, without which there is nothing to test */
	CheckRun run;
} Check;

/* In the order in which they are made and shown: what others need comes first. */
static const Check checks[] = {
	{USAGE, "server", OF_ALL, 0, check_usage},
	{BASE_URL, "base_url", OF_ALL, USAGE, check_base_url},
	{AUTH_URL, "auth_url", OF_SUMMIT, USAGE, check_auth_url},
	{TEAM_ID, "team_id", OF_CANOPY, USAGE, check_team_id},
	{MAPPING, "user mapping", OF_ALL, USAGE, check_mapping},
	{SECRET, "client secret", OF_APIS, MAPPING, check_secret},
	{SECRET, "webhook secret", OF_ENDPOINT, MAPPING, check_secret},
	{CA_FILE, "ca_file", OF_ALL, USAGE, check_ca_file},
	{HOST, "host name", OF_ALL, BASE_URL | AUTH_URL | CA_FILE, check_host},
	{TLS, "connection", OF_ALL, HOST, check_tls},
	{CREDENTIALS, "credentials", OF_APIS, TEAM_ID | SECRET | TLS, check_credentials},
	{CLOCK, "clock", OF_ALL, TLS, check_clock},
	{WORKER, "worker", OF_ALL, 0, check_worker},
	{RECEIVER, "receiver", OF_APIS, 0, check_receiver},
	{WEBHOOK_SECRET, "webhook secret", OF_APIS, USAGE, check_webhook_secret},
	{WEBHOOK, "newest webhook", OF_APIS, USAGE, check_webhook},
};

/* What a check is run with, and what it finds. */
typedef struct Run
{
	const Check *check;
	Examination *examination;
	Finding finding;
	const char *remark;
} Run;

/*
 * Do something that may raise what is wrong, in the current memory context.  Returns
 * NULL, or that error; a cancel, a timeout and a shutdown are nobody's finding.
 */
ErrorData *
check_attempt(void (*body)(void *argument), void *argument)
{
	ErrorData *error = subtransaction_run(InvalidOid, body, argument, CurrentMemoryContext);

	if (error != NULL && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return error;
}

static void
run_body(void *argument)
{
	Run *run = argument;

	run->finding = run->check->run(run->examination, &run->remark);
}

/* What is wrong, and what to do about it. */
static const char *
error_hint(const ErrorData *error)
{
	return error->hint ? psprintf("%s. %s", error->message, error->hint) : error->message;
}

/* The first of the checks that are needed and have not succeeded; NULL if all have. */
static const Check *
check_missing(int needs, int shown, int good)
{
	for (int i = 0; i < lengthof(checks); i++)
		if ((checks[i].bit & needs & shown & ~good) != 0)
			return &checks[i];
	return NULL;
}

/* Make a check and put its row; whether nothing stands in the way of those that need it. */
static bool
check_put(const Check *check, Examination *examination, const Check *missing,
		  FunctionCallInfo fcinfo)
{
	Run run = {.check = check, .examination = examination};
	ErrorData *error = missing ? NULL : check_attempt(run_body, &run);
	bool is_tested = missing == NULL && (error != NULL || run.finding == FINDING_GOOD);
	Values values = {0};

	if (missing != NULL)
		run.remark = psprintf("not tested: \"%s\" comes first", missing->name);
	else if (error != NULL)
		run.remark = error_hint(error);
	values_add_text(&values, check->name);
	values_add_unless(&values, !is_tested, BoolGetDatum(error == NULL));
	values_add_text(&values, run.remark);
	values_put_row(&values, fcinfo);
	return missing == NULL && error == NULL;
}

/* canopy_summit.check_server(server name) -> setof ("check" text, ok boolean, hint text) */
Datum
canopy_summit_check_server(PG_FUNCTION_ARGS)
{
	Examination examination = {.server = argument_name(fcinfo, 0)};
	int shown = 0;
	int good = 0;

	if (examination.server == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"server\" cannot be NULL")));
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(checks); i++)
	{
		const Check *check = &checks[i];
		int providers = examination.connection ? 1 << examination.connection->provider : OF_APIS;

		/* Of a server that cannot be used, nobody knows the API. */
		if ((check->providers & providers) != providers)
			continue;
		shown |= check->bit;
		if (check_put(check, &examination, check_missing(check->needs, shown, good), fcinfo))
			good |= check->bit;
	}
	return (Datum) 0;
}
