/*
 * field.c
 *	  Checks of single values of Summit's JSON.
 *
 * An error follows Summit's error model: the path of the field and what is wrong
 * with it, also as COLUMN_NAME of the diagnostics.  What the field holds is in
 * no message, and the statement that brought it is kept out of the server log.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/coerce.h"
#include "privacy/minimize.h"
#include "summit/field.h"

/* Raise the error for a field; detail and hint may be NULL. */
void
field_refuse(const char *path, const char *problem, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s: %s", path, problem),
					detail ? errdetail("%s", detail) : 0, hint ? errhint("%s", hint) : 0,
					err_generic_string(PG_DIAG_COLUMN_NAME, path), errhidestmt(true),
					errhidecontext(true)));
}

/* Raise the error for what data minimization found in a field. */
void
field_refuse_finding(const char *path, const MinimizeFinding *finding)
{
	field_refuse(
		path, finding->problem,
		psprintf("Rule \"%s\" of summit.minimisation_rule found it.", finding->rule_id),
		"Leave it out. If it is something else, exempt the field from the rule, or disable "
		"the rule.");
}

/* The path of a member; the payload's own is empty. */
const char *
field_path(const char *path, const char *name)
{
	return *path == '\0' ? name : psprintf("%s.%s", path, name);
}

/* A string without the blanks around it. */
JsonbValue
field_trim(const JsonbValue *value)
{
	JsonbValue result = *value;
	const char *text = value->val.string.val;

	text_trim(&text, &result.val.string.len);
	result.val.string.val = unconstify(char *, text);
	return result;
}

/* Free text without the blanks around it, of an acceptable length and content. */
JsonbValue
field_text(List *rules, const char *path, const JsonbValue *value)
{
	JsonbValue text;
	MinimizeFinding finding;

	if (value->type != jbvString)
		field_refuse(path, "must be text", NULL, NULL);
	text = field_trim(value);
	if (text.val.string.len == 0)
		field_refuse(path, "must not be empty", NULL, NULL);
	if (text.val.string.len > FIELD_TEXT_MAX)
		field_refuse(path, psprintf("must not be longer than %d bytes", FIELD_TEXT_MAX), NULL,
					 NULL);
	for (int i = 0; i < text.val.string.len; i++)
	{
		unsigned char c = text.val.string.val[i];

		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
			field_refuse(path, "must not have control characters", NULL, NULL);
	}
	if (minimize_text(rules, path, text.val.string.val, text.val.string.len, &finding))
		field_refuse_finding(path, &finding);
	return text;
}

/* One of the words, whose list ends in NULL. */
JsonbValue
field_word(const char *const *words, const char *path, const JsonbValue *value)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const char *const *word = words; *word != NULL; word++)
	{
		if (value->type == jbvString && strlen(*word) == value->val.string.len &&
			memcmp(*word, value->val.string.val, value->val.string.len) == 0)
			return *value;
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", *word);
	}
	field_refuse(path, psprintf("must be one of: %s", list.data), NULL, NULL);
}

/* YYYY-MM-DD, and a day that exists. */
DateADT
field_date(const char *path, const JsonbValue *value)
{
	Datum date;
	bool isnull;

	if (value->type != jbvString || value->val.string.len != strlen("YYYY-MM-DD") ||
		value->val.string.val[4] != '-' ||
		!coerce_value(COLUMN_DATE, unconstify(JsonbValue *, value), &date, &isnull))
		field_refuse(path, "must be a date, YYYY-MM-DD", NULL, NULL);
	return DatumGetDateADT(date);
}

/* A number that is not negative; an amount of money stays the decimal that it is. */
void
field_check_amount(const char *path, const JsonbValue *value)
{
	if (value->type != jbvNumeric)
		field_refuse(path, "must be a number", NULL, NULL);
	if (*DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))) ==
		'-')
		field_refuse(path, "must not be negative", NULL, NULL);
}

/* A whole number of days, without a fraction of zeros. */
JsonbValue
field_days(const char *path, const JsonbValue *value)
{
	JsonbValue days = {.type = jbvNumeric};
	Datum number;
	bool isnull;

	if (value->type != jbvNumeric ||
		!coerce_value(COLUMN_INTEGER, unconstify(JsonbValue *, value), &number, &isnull))
		field_refuse(path, "must be a whole number", NULL, NULL);
	if (DatumGetInt32(number) < 0)
		field_refuse(path, "must not be negative", NULL, NULL);
	days.val.numeric = int64_to_numeric(DatumGetInt32(number));
	return days;
}
