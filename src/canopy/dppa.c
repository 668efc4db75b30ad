/*
 * dppa.c
 *	  What the Driver's Privacy Protection Act lets one ask motor-vehicle records for:
 *	  18 U.S.C. 2721(b), whose fourteen paragraphs are the permissible uses.
 *
 * Canopy takes any text as a purpose, and has to be given one that the Act knows.  A
 * purpose names a paragraph, such as "(b)(6)", or has a word of its use; of those that
 * need the person's consent, or another law, only the paragraph says which is meant.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"

#include "canopy/dppa.h"
#include "engine/values.h"

PG_FUNCTION_INFO_V1(canopy_summit_dppa_uses);

typedef struct Use
{
	int paragraph;
	const char *use;
	const char *words; /* with blanks between; NULL = none */
} Use;

static const Use uses[] = {
	{1, "functions of a government agency", "government enforcement"},
	{2, "motor vehicle safety, theft, emissions and recalls",
	 "safety theft emissions recall recalls"},
	{3, "verifying what a person has submitted to a business", "verification verify verifying"},
	{4, "legal proceedings", "litigation court subpoena judgment"},
	{5, "research that names nobody", "research statistics"},
	{6, "insurance: claims, antifraud, rating and underwriting",
	 "insurance insurer claim claims antifraud rating underwriting"},
	{7, "notice to owners of towed vehicles", "towed towing impounded"},
	{8, "licensed private investigation for a permitted use",
	 "investigation investigations investigator"},
	{9, "employers of commercial drivers", "employer employers cdl"},
	{10, "private toll roads", "toll tolls"},
	{11, "individual records, with the state's consent rules", NULL},
	{12, "bulk distribution, with express consent", NULL},
	{13, "a request with the person's written consent", "consent"},
	{14, "another use that the state permits, about motor vehicles or public safety", NULL},
};

/* The words of a text, in lower case, each with a blank before it and one at the end. */
static char *
words_of(const char *text)
{
	StringInfoData words;

	initStringInfo(&words);
	appendStringInfoChar(&words, ' ');
	for (const char *c = text; *c != '\0'; c++)
	{
		bool is_word =
			(*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');

		if (is_word)
			appendStringInfoChar(&words, pg_tolower((unsigned char) *c));
		else if (words.data[words.len - 1] != ' ')
			appendStringInfoChar(&words, ' ');
	}
	if (words.data[words.len - 1] != ' ')
		appendStringInfoChar(&words, ' ');
	return words.data;
}

/* Whether one of the words is one of a use. */
static bool
has_word_of(const char *words, const Use *use)
{
	const char *word = use->words;

	while (word != NULL && *word != '\0')
	{
		int len = strcspn(word, " ");

		if (strstr(words, psprintf(" %.*s ", len, word)) != NULL)
			return true;
		word += len + strspn(word + len, " ");
	}
	return false;
}

/* Whether a purpose is one of the Act's. */
bool
dppa_permits(const char *purpose)
{
	const char *words = words_of(purpose);

	for (int i = 0; i < lengthof(uses); i++)
		if (strstr(words, psprintf(" b %d ", uses[i].paragraph)) != NULL ||
			has_word_of(words, &uses[i]))
			return true;
	return false;
}

/* canopy_summit.dppa_uses() -> setof record: paragraph, use, words */
Datum
canopy_summit_dppa_uses(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(uses); i++)
	{
		Values values = {0};

		values_add_int32(&values, uses[i].paragraph);
		values_add_text(&values, uses[i].use);
		values_add_text(&values, uses[i].words);
		values_put_row(&values, fcinfo);
	}
	return (Datum) 0;
}
