/*
 * minimize.c
 *	  Data minimization: what looks like banking details or health data is found
 *	  by the rules of table summit.minimisation_rule.
 *
 * Patterns are PostgreSQL's regular expressions, without regard to case, under
 * collation "C": a finding does not depend on the database's locale.  A text
 * passes through no message; findings name the rule.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/unicode_norm.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "regex/regex.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "engine/engine.h"
#include "engine/statement.h"
#include "privacy/checksum.h"
#include "privacy/minimize.h"

PG_FUNCTION_INFO_V1(canopy_summit_rule_finds);

#define NUMBER_MAX 64 /* characters of a number with check digits, without its marks */

typedef enum RuleKind
{
	RULE_KEY,
	RULE_CARD,
	RULE_IBAN,
	RULE_ACCOUNT,
	RULE_HEALTH_CARD
} RuleKind;

static const struct
{
	const char *name;
	const char *problem;
} kinds[] = {
	[RULE_KEY] = {"key", "names banking, health or identity data, which Summit does not accept"},
	[RULE_CARD] = {"card", "looks like a payment card number, which Summit does not accept"},
	[RULE_IBAN] = {"iban", "looks like an IBAN, which Summit does not accept"},
	[RULE_ACCOUNT] = {"account", "looks like a bank account number, which Summit does not accept"},
	[RULE_HEALTH_CARD] = {"health_card",
						  "looks like a health card number, which Summit does not accept"},
};

typedef struct Rule
{
	const char *rule_id;
	RuleKind kind;
	bool builtin;
	text *pattern;
	ChecksumFits fits; /* what the first group, or all, of a match must do; NULL = nothing */
	List *applies_to;  /* paths as char *; NIL = everywhere */
	List *exempt;
} Rule;

/* A text as the rules see it. */
typedef struct Folded
{
	pg_wchar *chars;
	size_t len;
	bool has_digit;
} Folded;

static RuleKind
kind_read(const char *name)
{
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return i;
	elog(ERROR, "unexpected kind of minimization rule: %s", name);
}

/* A text[] column as List of C strings. */
static List *
record_texts(Record *record)
{
	Datum value = record_datum(record);
	List *texts = NIL;
	Datum *elements;
	int count;

	if (record->isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL,
					  &count);
	for (int i = 0; i < count; i++)
		texts = lappend(texts, TextDatumGetCString(elements[i]));
	return texts;
}

static Rule *
rule_read(Record record)
{
	Rule *rule = palloc0(sizeof(Rule));
	const char *checksum;

	rule->rule_id = record_text(&record);
	rule->kind = kind_read(record_text(&record));
	rule->pattern = cstring_to_text(record_text(&record));
	checksum = record_text(&record);
	if (checksum != NULL && (rule->fits = checksum_find(checksum)) == NULL)
		elog(ERROR, "unexpected checksum of minimization rule: %s", checksum);
	rule->applies_to = record_texts(&record);
	rule->exempt = record_texts(&record);
	rule->builtin = record_boolean(&record);
	return rule;
}

/* A user's row wins over the built-in one. */
static Statement rules_select = {
	.sql = "SELECT r.rule_id, r.kind, r.pattern, r.checksum, r.applies_to, r.exempt, r.builtin"
		   " FROM summit.minimisation_rule r"
		   " WHERE r.enabled AND NOT (r.builtin AND EXISTS"
		   " (SELECT FROM summit.minimisation_rule o"
		   " WHERE o.rule_id = r.rule_id AND NOT o.builtin))"
		   " ORDER BY r.checksum COLLATE \"C\", r.rule_id COLLATE \"C\"",
};

/* The rules in force in the current memory context, those with check digits first: they are surer. */
List *
minimize_rules(void)
{
	MemoryContext context = CurrentMemoryContext;
	List *rules = NIL;
	Engine engine;
	uint64 count;

	engine_begin(&engine);
	count = statement_run(&rules_select, NULL, NULL);
	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < count; i++)
		rules = lappend(rules, rule_read(statement_record(i)));
	engine_end(&engine);
	return rules;
}

/* Whether one of the paths is this one or above it: policy covers policy.endorsements[0]. */
static bool
path_is_covered(List *paths, const char *path)
{
	ListCell *cell;

	foreach(cell, paths)
	{
		size_t len = strlen(lfirst(cell));

		if (strncmp(lfirst(cell), path, len) == 0 &&
			(path[len] == '\0' || path[len] == '.' || path[len] == '['))
			return true;
	}
	return false;
}

static bool
rule_applies(const Rule *rule, const char *path)
{
	return (rule->applies_to == NIL || path_is_covered(rule->applies_to, path)) &&
		   !path_is_covered(rule->exempt, path);
}

/* Match from `start`; groups as in the whole text. */
static bool
regex_matches(regex_t *regex, const pg_wchar *chars, size_t len, size_t start, regmatch_t *match)
{
	int result = pg_regexec(regex, chars, len, start, NULL, 2, match, 0);
	char message[100];

	if (result == REG_OKAY || result == REG_NOMATCH)
		return result == REG_OKAY;
	CHECK_FOR_INTERRUPTS();
	pg_regerror(result, regex, message, sizeof(message));
	ereport(ERROR, (errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
					errmsg("regular expression failed: %s", message)));
}

/* Whether the check digits of what matched fit. */
static bool
number_fits(const Rule *rule, const pg_wchar *chars, const regmatch_t *match)
{
	const regmatch_t *number = match[1].rm_so >= 0 ? &match[1] : &match[0];
	char packed[NUMBER_MAX];
	int len = 0;

	for (regoff_t i = number->rm_so; i < number->rm_eo; i++)
	{
		if (chars[i] >= 128 || !isalnum((unsigned char) chars[i]))
			continue;
		if (len == NUMBER_MAX)
			return false;
		packed[len++] = pg_ascii_toupper((unsigned char) chars[i]);
	}
	return rule->fits(packed, len);
}

/*
 * Whether a match, or what is left of it without its last groups of characters,
 * has check digits that fit: an expiry date may follow a card number.
 */
static bool
match_fits(const Rule *rule, regex_t *regex, const pg_wchar *chars, regmatch_t *match)
{
	size_t start = match[0].rm_so;
	size_t end = match[0].rm_eo;

	if (rule->fits == NULL || number_fits(rule, chars, match))
		return true;
	while (end > start)
	{
		end--;
		if (chars[end] < 128 && !isalnum((unsigned char) chars[end]) &&
			regex_matches(regex, chars, end, start, match) && match[0].rm_so == start &&
			number_fits(rule, chars, match))
			return true;
	}
	return false;
}

/* Whether there is in the text what the rule is about. */
static bool
rule_matches(const Rule *rule, const Folded *folded)
{
	regex_t *regex = RE_compile_and_cache(rule->pattern, REG_ADVANCED | REG_ICASE, C_COLLATION_OID);
	regmatch_t match[2];
	size_t start = 0;

	while (regex_matches(regex, folded->chars, folded->len, start, match))
	{
		start = match[0].rm_so + 1;
		if (match_fits(rule, regex, folded->chars, match))
			return true;
	}
	return false;
}

/* The character that a rule sees in place of this one; 0 = none. */
static pg_wchar
char_fold(pg_wchar c)
{
	if (c == '\t' || c == '\n' || c == '\r')
		return ' ';
	if ((c >= 0x2010 && c <= 0x2015) || c == 0x2212) /* hyphens, dashes, minus */
		return '-';
	if (c == 0xAD || (c >= 0x200B && c <= 0x200F) || c == 0x2060 || c == 0xFEFF) /* invisible */
		return 0;
	return c;
}

/* A text with the many forms of digits, blanks and dashes made one. */
static Folded
text_fold(const char *text, int len)
{
	Folded folded;
	pg_wchar *chars = palloc(sizeof(pg_wchar) * (len + 1));
	bool is_ascii = true;

	for (int i = 0; i < len; i++)
		is_ascii &= !IS_HIGHBIT_SET(text[i]);
	(void) pg_mb2wchar_with_len(text, chars, len);
	folded.chars = is_ascii ? chars : unicode_normalize(UNICODE_NFKC, chars);
	folded.len = 0;
	folded.has_digit = false;
	for (pg_wchar *c = folded.chars; *c != 0; c++)
	{
		folded.has_digit |= *c >= '0' && *c <= '9';
		if (char_fold(*c) != 0)
			folded.chars[folded.len++] = char_fold(*c);
	}
	return folded;
}

/* A key in the form that patterns are written for: accountNumber is account_number. */
static Folded
key_fold(const char *key, int len)
{
	StringInfoData snake;

	initStringInfo(&snake);
	for (int i = 0; i < len; i++)
	{
		unsigned char c = key[i];

		if (isupper(c) && i > 0 &&
			(islower((unsigned char) key[i - 1]) || isdigit((unsigned char) key[i - 1])))
			appendStringInfoChar(&snake, '_');
		appendStringInfoChar(&snake, isalnum(c) || IS_HIGHBIT_SET(c) ? pg_ascii_tolower(c) : '_');
	}
	return text_fold(snake.data, snake.len);
}

/* Try one rule. */
static bool
rule_find(const Rule *rule, const char *path, const Folded *folded, MinimizeFinding *finding)
{
	if (!rule_applies(rule, path) || !rule_matches(rule, folded))
		return false;
	finding->rule_id = rule->rule_id;
	finding->problem = kinds[rule->kind].problem;
	return true;
}

/*
 * Whether a rule of kind key finds something in a JSON key, whose path ends in
 * it.  The built-in rules name none of Summit's own fields, so they are not held
 * against one that is known.
 */
bool
minimize_key(List *rules, const char *path, const char *key, int len, bool known,
			 MinimizeFinding *finding)
{
	Folded folded = key_fold(key, len);
	ListCell *cell;

	foreach(cell, rules)
	{
		const Rule *rule = lfirst(cell);

		if (rule->kind == RULE_KEY && !(known && rule->builtin) &&
			rule_find(rule, path, &folded, finding))
			return true;
	}
	return false;
}

/* Whether a rule of any other kind, which are all about numbers, finds one in the text of a field. */
bool
minimize_text(List *rules, const char *path, const char *text, int len, MinimizeFinding *finding)
{
	Folded folded = text_fold(text, len);
	ListCell *cell;

	if (!folded.has_digit)
		return false;
	foreach(cell, rules)
	{
		const Rule *rule = lfirst(cell);

		if (rule->kind != RULE_KEY && rule_find(rule, path, &folded, finding))
			return true;
	}
	return false;
}

/*
 * canopy_summit.rule_finds(kind text, pattern text, checksum text, example text) -> boolean
 *
 * False for a kind or checksum that there is not: other constraints say so.
 */
Datum
canopy_summit_rule_finds(PG_FUNCTION_ARGS)
{
	Rule rule = {0};
	const char *kind;
	text *example;
	Folded folded;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		PG_RETURN_BOOL(false);
	kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	rule.pattern = PG_GETARG_TEXT_PP(1);
	if (!PG_ARGISNULL(2) &&
		(rule.fits = checksum_find(text_to_cstring(PG_GETARG_TEXT_PP(2)))) == NULL)
		PG_RETURN_BOOL(false);
	example = PG_GETARG_TEXT_PP(3);
	if (strcmp(kind, kinds[RULE_KEY].name) == 0)
		folded = key_fold(VARDATA_ANY(example), VARSIZE_ANY_EXHDR(example));
	else
		folded = text_fold(VARDATA_ANY(example), VARSIZE_ANY_EXHDR(example));
	PG_RETURN_BOOL((folded.has_digit || strcmp(kind, kinds[RULE_KEY].name) == 0) &&
				   rule_matches(&rule, &folded));
}
