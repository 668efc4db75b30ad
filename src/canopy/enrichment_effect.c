/*
 * enrichment_effect.c
 *	  What jobs that look up a property, a driver or a household may ask for, and
 *	  what their answers tell.
 *
 * However a job is enqueued, it is checked here.  Each that was answered is kept
 * with who asked, for whom and why: what the Driver's Privacy Protection Act wants
 * to be told for five years.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "base/jsonb_get.h"
#include "canopy/dppa.h"
#include "canopy/enrichment_effect.h"
#include "engine/identity.h"
#include "engine/new_row.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "http/transfer.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/settlement.h"

#define FIRST_YEAR 1900 /* of a birth */

static Statement keep = {5,
						 {INT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID, JSONBOID},
						 "SELECT canopy_summit.keep_enrichment($1, $2, $3, $4, $5)"};

static void
param_refuse(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("parameter \"%s\" %s", name, problem), errhint("%s", hint)));
}

/* A parameter that says something; NULL if it is not there.  What is no text is for others to refuse. */
static const char *
param_text(Jsonb *params, const char *name)
{
	JsonbValue *value = JB_ROOT_IS_OBJECT(params) ? member_value(&params->root, name) : NULL;
	const char *text;

	if (value == NULL || value->type != jbvString)
		return NULL;
	text = pnstrdup(value->val.string.val, value->val.string.len);
	if (text[strspn(text, " \t\r\n")] == '\0')
		param_refuse(name, "is blank", "Leave it out, or say what it is.");
	return text;
}

/* Refuse what is no date of birth, MM/DD/YYYY.  Error: 22023. */
static void
check_birth(const char *text)
{
	const char *const hint = "Write MM/DD/YYYY.";
	int month = 0;
	int day = 0;
	int year = 0;
	int end = 0;
	pg_time_t now = timestamptz_to_time_t(GetCurrentTransactionStartTimestamp());
	struct pg_tm *today = pg_gmtime(&now);

	if (strlen(text) != 10 || strspn(text, "0123456789/") != 10 ||
		sscanf(text, "%2d/%2d/%4d%n", &month, &day, &year, &end) != 3 || end != 10 || month < 1 ||
		month > 12 || day < 1 || day > day_tab[isleap(year)][month - 1])
		param_refuse("date_of_birth_str", "is no date", hint);
	if (year < FIRST_YEAR)
		param_refuse("date_of_birth_str", "is too long ago", hint);
	/* Where the day has begun already, somebody may be born on it: UTC+14. */
	if (date2j(year, month, day) >
		date2j(today->tm_year + 1900, today->tm_mon + 1, today->tm_mday) + 1)
		param_refuse("date_of_birth_str", "is in the future", hint);
}

/* Refuse a licence that cannot be looked up.  Error: 22023. */
static void
check_license(const char *license, const char *state, const char *birth)
{
	if (birth == NULL && (license == NULL || state == NULL))
		param_refuse("date_of_birth_str", "is missing, and so is a driver's license",
					 "Give date_of_birth, or drivers_license with drivers_license_state.");
	if (state != NULL && (strlen(state) != 2 || strspn(state, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 2))
		param_refuse("drivers_license_state", "is no state", "Two capital letters, such as NY.");
}

/* JobHandler.fill: refuse what cannot be looked up, or must not be, before it costs. */
static void
enrichment_fill(NewRow *row, const Connection *connection)
{
	Jsonb *params = new_row_json(row, "params");
	bool is_property = strcmp(new_row_text(row, "operation"), "get-property-data") == 0;
	bool is_driver_license =
		strcmp(new_row_text(row, "operation"), "get-enrichment-driverlicense") == 0;
	static const char *const texts[] = {"first_name", "last_name", "employee_name",
										"employee_job_function"};
	const char *birth = param_text(params, "date_of_birth_str");
	const char *purpose = param_text(params, "purpose");

	if (param_text(params, "address") == NULL && is_property)
		param_refuse("address", "is missing", "One line, such as 1 Main Street, Albany, NY 12207.");
	if (is_property)
		return;
	for (int i = 0; i < lengthof(texts); i++)
		(void) param_text(params, texts[i]);
	if (purpose != NULL && !dppa_permits(purpose))
		param_refuse("purpose", "is no permissible use of the Driver's Privacy Protection Act",
					 "Name its paragraph, such as (b)(6), or its use, such as insurance "
					 "underwriting: SELECT * FROM canopy_summit.dppa_uses();");
	if (birth != NULL)
		check_birth(birth);
	if (!is_driver_license)
		check_license(param_text(params, "drivers_license"),
					  param_text(params, "drivers_license_state"), birth);
}

/* Keep how jobs ended that were answered: a List of Settlement *. */
static void
enrichments_keep(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);
		const Job *job = settlement->job;
		Values values = {0};

		if (settlement->response == NULL || !settlement->response->was_sent)
			continue;
		values_add_int64(&values, job->job_id);
		values_add_text(&values, identity_hold_server(job->server_oid, job->server));
		values_add_time(&values, settlement->started_at);
		values_add_text(&values, settlement->state == JOB_SUCCEEDED ? NULL : settlement->outcome);
		values_add_json(&values,
						settlement->state == JOB_SUCCEEDED ? settlement->answer->json : NULL);
		statement_run_values(&keep, &values);
	}
}

/* From _PG_init(). */
void
enrichment_effect_register(void)
{
	static const char *const operations[] = {"get-property-data", "get-enrichment-driverlicense",
											 "get-enrichment-drivingrecordiq",
											 "get-enrichment-household"};
	static JobHandler handlers[lengthof(operations)];

	for (int i = 0; i < lengthof(operations); i++)
	{
		handlers[i] = (JobHandler){.operation = operations[i],
								   .fill = enrichment_fill,
								   .succeeded = enrichments_keep,
								   .failed = enrichments_keep,
								   .stores_answer = true};
		handler_register(&handlers[i]);
	}
}
