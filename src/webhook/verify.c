/*
 * verify.c
 *	  The SQL functions that verify, explain and make signatures of webhooks.
 *
 * Each takes one secret or an array of them, and a body of bytes or of text:
 * the bytes of both are what counts, and the database's encoding is UTF-8.  A NULL anywhere verifies nothing: the
 * answer is false and never NULL, so that a missing header cannot slip through
 * "IF NOT".
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/confidential.h"
#include "webhook/signature.h"

CONFIDENTIAL_FUNCTION(canopy_summit_verify_webhook_sig);
CONFIDENTIAL_FUNCTION(canopy_summit_explain_webhook_sig);
CONFIDENTIAL_FUNCTION(canopy_summit_sign_webhook);

#define TOLERANCE_MAX USECS_PER_DAY

/* Whether the first argument of the overloaded function that is called is an array; looked up once a call site. */
static bool
has_secrets(FunctionCallInfo fcinfo)
{
	bool *is_array = fcinfo->flinfo->fn_extra;

	if (is_array == NULL)
	{
		Oid *types;
		int count;

		(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &count);
		is_array = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(bool));
		*is_array = types[0] == TEXTARRAYOID;
		fcinfo->flinfo->fn_extra = is_array;
	}
	return *is_array;
}

/* The secrets of the first argument as List of char *; NULLs in it are none. */
static List *
secrets_read(FunctionCallInfo fcinfo)
{
	List *secrets = NIL;
	Datum *elements;
	bool *nulls;
	int count;

	if (!has_secrets(fcinfo))
		return list_make1(TextDatumGetCString(PG_GETARG_DATUM(0)));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls,
					  &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			secrets = lappend(secrets, TextDatumGetCString(elements[i]));
	return secrets;
}

/* Microseconds of a tolerance.  Error 22023: it has months, or is not from 0 to a day. */
static int64
tolerance_read(const Interval *interval)
{
	int64 tolerance = 0;

	if (interval->month != 0 || interval->day < 0 || interval->day > 1 || interval->time < 0 ||
		interval->time > TOLERANCE_MAX ||
		(tolerance = interval->day * USECS_PER_DAY + interval->time) > TOLERANCE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tolerance must be from 0 to 1 day"),
						errhint("Give it in seconds, minutes or hours, such as '5 min'.")));
	return tolerance;
}

/* Verify by the arguments (secret or secrets, header, body, tolerance, received_at); NULL, or what is wrong. */
static const char *
arguments_verify(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"secret", "header", "body", "tolerance", "received_at"};
	TimestampTz received_at;
	Signature signature;
	text *header;
	const char *problem;
	struct varlena *body;
	int64 tolerance;

	for (int i = 0; i < lengthof(names); i++)
		if (PG_ARGISNULL(i))
			return psprintf("%s is NULL", names[i]);
	header = PG_GETARG_TEXT_PP(1);
	tolerance = tolerance_read(PG_GETARG_INTERVAL_P(3));
	received_at = PG_GETARG_TIMESTAMPTZ(4);
	if (TIMESTAMP_NOT_FINITE(received_at))
		return "received_at is infinite";
	problem = signature_parse(VARDATA_ANY(header), VARSIZE_ANY_EXHDR(header), &signature);
	if (problem == NULL)
		problem = signature_check_time(&signature, tolerance, signature_clock(received_at));
	if (problem != NULL)
		return problem;
	body = PG_GETARG_VARLENA_PP(2);
	return signature_matches(&signature, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body),
							 secrets_read(fcinfo))
			   ? NULL
			   : SIGNATURE_NO_MATCH;
}

/*
 * verify_webhook_sig(secret text | secrets text[], header text, body bytea | text,
 * tolerance interval, received_at timestamptz) -> boolean
 */
static Datum
canopy_summit_verify_webhook_sig_confidential(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(arguments_verify(fcinfo) == NULL);
}

/* explain_webhook_sig(the same arguments) -> text: why it is false, or "valid" */
static Datum
canopy_summit_explain_webhook_sig_confidential(PG_FUNCTION_ARGS)
{
	const char *problem = arguments_verify(fcinfo);

	/* Where header and time are right, this is what is wrong most often. */
	if (problem != NULL && strcmp(problem, SIGNATURE_NO_MATCH) == 0)
		problem = SIGNATURE_NO_MATCH
			"; the body has to be the bytes as received: one that was parsed and written again, "
			"decompressed or decoded never fits";
	PG_RETURN_TEXT_P(cstring_to_text(problem ? problem : "valid"));
}

/* sign_webhook(secret text, body bytea | text, scheme text, at timestamptz) -> text: the header */
static Datum
canopy_summit_sign_webhook_confidential(PG_FUNCTION_ARGS)
{
	char *scheme = text_to_cstring(PG_GETARG_TEXT_PP(2));
	int64 time = signature_clock(PG_GETARG_TIMESTAMPTZ(3)) / USECS_PER_SEC;
	bool is_canopy = strcmp(scheme, "canopy") == 0;
	uint8 digest[SIGNATURE_LENGTH];
	char hex[2 * SIGNATURE_LENGTH + 1];
	struct varlena *body = PG_GETARG_VARLENA_PP(1);

	if (!is_canopy && strcmp(scheme, "summit") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("scheme \"%s\" does not exist", scheme),
						errhint("Schemes are: canopy, summit.")));
	if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(3)) || time <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("at must be a time after 1970")));
	signature_make(TextDatumGetCString(PG_GETARG_DATUM(0)), psprintf(INT64_FORMAT, time),
				   VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), digest);
	hex[hex_encode((const char *) digest, sizeof(digest), hex)] = '\0';
	PG_RETURN_TEXT_P(
		cstring_to_text(psprintf("t=" INT64_FORMAT ",%s=%s", time, is_canopy ? "s" : "v1", hex)));
}
