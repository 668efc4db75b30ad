/*
 * json.c
 *	  Bytes from outside to jsonb, whatever they hold.
 *
 * PostgreSQL's parser reads the JSON (json_parse.c); this file only replaces what
 * jsonb cannot hold (\u0000, lone surrogates, invalid UTF-8), and numbers that
 * no column holds (number.c), where there are any, remembering the path.  What is
 * wrong with the input is returned, not raised.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/jsonapi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/confidential.h"
#include "base/json.h"
#include "base/json_parse.h"
#include "base/number.h"

#define REPLACED_MAX_PATHS 100  /* remembered; the bytes are kept anyway */
#define PATH_MAX_LENGTH    1000 /* of what is remembered of a place, give or take a key */
#define KEY_MAX_DIGITS     4    /* one after the other, in a key that is shown */

CONFIDENTIAL_FUNCTION(canopy_summit_nested_json);

static const char REPLACEMENT[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* One open container while repairing, for the path of what is replaced. */
typedef struct JsonFrame
{
	bool is_object;
	bool in_value; /* after the colon of an object */
	int key_start; /* of the current member in the input, between its quotes */
	int key_len;
} JsonFrame;

typedef struct JsonRepair
{
	const char *in;
	int len;
	int pos;
	StringInfoData out;
	JsonFrame *frames; /* frames[0] is the top level */
	int depth;
	int noted; /* where the last noted place began; -1 = none */
	List *replaced;
} JsonRepair;

/*
 * A key as it may be shown to those who read no personal data: itself if it looks
 * like the name of a field, a placeholder if a provider could have written
 * anything, such as a telephone number, in its place.
 */
const char *
json_key_label(const char *key, int len)
{
	int digits = 0;
	bool is_name = len > 0 && len < NAMEDATALEN && !isdigit((unsigned char) key[0]);

	for (int i = 0; i < len && is_name; i++)
	{
		digits = isdigit((unsigned char) key[i]) ? digits + 1 : 0;
		is_name = digits <= KEY_MAX_DIGITS && !IS_HIGHBIT_SET(key[i]) &&
				  (isalnum((unsigned char) key[i]) || key[i] == '_');
	}
	return is_name ? pnstrdup(key, len) : "<key>";
}

/* Remember the path to something that was replaced, once, and not of any number of places. */
List *
json_add_path(List *paths, const char *path)
{
	ListCell *cell;

	if (list_length(paths) >= REPLACED_MAX_PATHS)
		return paths;
	foreach(cell, paths)
		if (strcmp(lfirst(cell), path) == 0)
			return paths;
	return lappend(paths, pstrdup(path));
}

/* Remember the path to the current place, such as policies[].name; once a place. */
static void
repair_note(JsonRepair *repair)
{
	int place = repair->frames[repair->depth].key_start;
	StringInfoData path;

	if (place == repair->noted || list_length(repair->replaced) >= REPLACED_MAX_PATHS)
		return;
	repair->noted = place;
	initStringInfo(&path);
	for (int i = 1; i <= repair->depth; i++)
	{
		JsonFrame *frame = &repair->frames[i];

		if (!frame->is_object)
			appendStringInfoString(&path, "[]");
		else if (frame->key_len > 0)
		{
			if (path.len > 0)
				appendStringInfoChar(&path, '.');
			if (path.len < PATH_MAX_LENGTH)
				appendStringInfoString(&path, json_key_label(repair->in + frame->key_start,
															 frame->key_len));
		}
	}
	repair->replaced = json_add_path(repair->replaced, path.data);
	pfree(path.data);
}

/* The code unit of \uXXXX at pos, or -1. */
static int
repair_code_unit(const JsonRepair *repair, int pos)
{
	int unit = 0;

	if (pos + 6 > repair->len || repair->in[pos] != '\\' || repair->in[pos + 1] != 'u')
		return -1;
	for (int i = pos + 2; i < pos + 6; i++)
	{
		unsigned char c = repair->in[i];

		if (!isxdigit(c))
			return -1;
		unit = unit * 16 + (isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return unit;
}

/* Copy one escape sequence, or put the replacement character for what cannot stay. */
static void
repair_escape(JsonRepair *repair)
{
	int unit = repair_code_unit(repair, repair->pos);
	int next;
	int width = 2;

	if (unit >= 0)
	{
		width = 6;
		next = repair_code_unit(repair, repair->pos + 6);
		if (unit >= 0xD800 && unit <= 0xDBFF && next >= 0xDC00 && next <= 0xDFFF)
			width = 12;
		else if (unit == 0 || (unit >= 0xD800 && unit <= 0xDFFF))
		{
			repair_note(repair);
			appendStringInfoString(&repair->out, REPLACEMENT);
			repair->pos += width;
			return;
		}
	}
	width = Min(width, repair->len - repair->pos);
	appendBinaryStringInfo(&repair->out, repair->in + repair->pos, width);
	repair->pos += width;
}

/* Copy a string with its quotes; returns where its text began in the input. */
static int
repair_string(JsonRepair *repair)
{
	int start = repair->pos + 1;

	appendStringInfoChar(&repair->out, '"');
	repair->pos++;
	while (repair->pos < repair->len && repair->in[repair->pos] != '"')
	{
		const char *c = repair->in + repair->pos;
		int width;

		if (*c == '\\')
		{
			repair_escape(repair);
			continue;
		}
		width = IS_HIGHBIT_SET(*c) ? pg_encoding_verifymbchar(PG_UTF8, c, repair->len - repair->pos)
								   : 1;
		if (width > 0)
			appendBinaryStringInfo(&repair->out, c, width);
		else
		{
			repair_note(repair);
			appendStringInfoString(&repair->out, REPLACEMENT);
			width = 1;
		}
		repair->pos += width;
	}
	if (repair->pos < repair->len)
	{
		appendStringInfoChar(&repair->out, '"');
		repair->pos++;
	}
	return start;
}

/* Copy a number or literal; a number out of range becomes a string of its own text. */
static void
repair_scalar(JsonRepair *repair)
{
	int start = repair->pos;
	int len;

	while (repair->pos < repair->len &&
		   strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", repair->in[repair->pos]) != NULL &&
		   repair->in[repair->pos] != '\0')
		repair->pos++;
	len = repair->pos - start;
	if (len == 0) /* not JSON; the parser will say so */
		len = ++repair->pos - start;
	if (IsValidJsonNumber(repair->in + start, len) && number_is_beyond(repair->in + start, len))
	{
		repair_note(repair);
		appendStringInfoChar(&repair->out, '"');
		appendBinaryStringInfo(&repair->out, repair->in + start, len);
		appendStringInfoChar(&repair->out, '"');
	}
	else
		appendBinaryStringInfo(&repair->out, repair->in + start, len);
}

/* Copy one structural character and keep the path up to date. */
static void
repair_structure(JsonRepair *repair)
{
	char c = repair->in[repair->pos++];
	JsonFrame *frame = &repair->frames[repair->depth];

	if ((c == '{' || c == '[') && repair->depth < JSON_MAX_DEPTH)
	{
		frame = &repair->frames[++repair->depth];
		*frame = (JsonFrame){.is_object = c == '{', .key_start = repair->pos};
	}
	else if ((c == '}' || c == ']') && repair->depth > 0)
		repair->depth--;
	else if (c == ':')
		frame->in_value = true;
	else if (c == ',')
		frame->in_value = false;
	appendStringInfoChar(&repair->out, c);
}

/* Copy the whole text with everything replaced that jsonb cannot hold. */
static void
json_repair(JsonRepair *repair)
{
	repair->noted = -1;
	repair->frames = palloc0(sizeof(JsonFrame) * (JSON_MAX_DEPTH + 1));
	initStringInfo(&repair->out);
	enlargeStringInfo(&repair->out, repair->len);
	while (repair->pos < repair->len)
	{
		char c = repair->in[repair->pos];
		JsonFrame *frame = &repair->frames[repair->depth];

		if (c == '"')
		{
			int start;

			if (frame->is_object && !frame->in_value)
				frame->key_len = 0; /* a bad key is reported at its object */
			start = repair_string(repair);
			if (frame->is_object && !frame->in_value)
			{
				frame->key_start = start;
				frame->key_len = repair->pos - 1 - start;
			}
		}
		else if (c != '\0' && strchr("{}[],: \t\r\n", c) != NULL)
			repair_structure(repair);
		else
			repair_scalar(repair);
	}
}

/*
 * The bytes as jsonb, in the current memory context.  Paths of values that had
 * to be replaced are returned in *replaced (List of char *, may be NULL when
 * nobody asks).  NULL with *problem set if the bytes are not JSON, or nested
 * deeper than JSON_MAX_DEPTH.
 */
Jsonb *
json_read(const char *bytes, size_t len, List **replaced, const char **problem)
{
	JsonRefusal refusal = JSON_UNFIT;
	Jsonb *json = NULL;

	if (replaced)
		*replaced = NIL;
	if (len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) /* byte order mark */
	{
		bytes += 3;
		len -= 3;
	}
	/* PostgreSQL's parser takes a backslash before a byte 0 for an escape, and then ends there. */
	if (memchr(bytes, '\0', len) != NULL)
		refusal = JSON_MALFORMED;
	else
	{
		if (pg_encoding_verifymbstr(PG_UTF8, bytes, (int) len) == (int) len)
			json = json_parse(bytes, len, &refusal);
		if (refusal == JSON_UNFIT || refusal == JSON_MALFORMED) /* a lone surrogate is malformed */
		{
			JsonRepair repair = {.in = bytes, .len = (int) len};

			json_repair(&repair);
			json = json_parse(repair.out.data, repair.out.len, &refusal);
			if (replaced)
				*replaced = repair.replaced;
			pfree(repair.out.data);
			pfree(repair.frames);
		}
	}
	*problem = json != NULL ? NULL : refusal == JSON_TOO_DEEP ? "nested too deeply" : "not JSON";
	return json;
}

/* A string that holds a JSON object or array of its own, as jsonb; NULL if it does not. */
Jsonb *
json_read_nested(const char *bytes, int len)
{
	const char *problem;
	int start = 0;

	while (start < len && isspace((unsigned char) bytes[start]))
		start++;
	if (start == len || (bytes[start] != '{' && bytes[start] != '['))
		return NULL;
	return json_read(bytes, len, NULL, &problem);
}

/* canopy_summit.nested_json(text) -> jsonb */
static Datum
canopy_summit_nested_json_confidential(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	Jsonb *json = json_read_nested(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));

	if (json == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(json);
}
