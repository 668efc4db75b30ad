/*
 * cell.c
 *	  Whether cells can be exported.
 *
 * A row is exported whole or not at all, and no character becomes another one.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "base/confidential.h"
#include "base/jsonb_get.h"

CONFIDENTIAL_FUNCTION(canopy_summit_cells_problem);
PG_FUNCTION_INFO_V1(canopy_summit_list_cell);
PG_FUNCTION_INFO_V1(canopy_summit_list_problem);

/* How a text gets into an encoding. */
typedef struct Target
{
	int encoding;
	const char *name;
	Oid conversion; /* InvalidOid = everything fits */
} Target;

/* The encoding of this name.  Error 22023: there is none, or nothing leads to it. */
static Target
target_find(const char *name)
{
	Target target = {.encoding = pg_char_to_encoding(name), .name = name};
	int from = GetDatabaseEncoding();

	if (target.encoding < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("encoding \"%s\" does not exist", name),
						errhint("Use a name that PostgreSQL knows, such as UTF8 or WIN1252.")));
	if (target.encoding == from || target.encoding == PG_SQL_ASCII || from == PG_SQL_ASCII)
		return target;
	target.conversion = FindDefaultConversionProc(from, target.encoding);
	if (!OidIsValid(target.conversion))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("nothing converts %s to %s", pg_encoding_to_char(from), name)));
	return target;
}

/* Whether a text has nothing but ASCII, which every encoding of ours has. */
static bool
is_ascii(const char *text, int len)
{
	for (int i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(text[i]))
			return false;
	return true;
}

/* A text in which accents are part of their letters, as encodings of bytes have them. */
static text *
composed(text *value)
{
	return DatumGetTextPP(DirectFunctionCall2(unicode_normalize_func, PointerGetDatum(value),
											  CStringGetTextDatum("NFC")));
}

/* The first character that the encoding lacks, as U+0000; NULL if it has them all. */
static char *
character_lacking(const Target *target, text *value)
{
	const char *text;
	int len = VARSIZE_ANY_EXHDR(value);
	int room;
	unsigned char *converted;
	int done;

	if (!OidIsValid(target->conversion) || is_ascii(VARDATA_ANY(value), len))
		return NULL;
	if (GetDatabaseEncoding() == PG_UTF8)
		value = composed(value);
	text = VARDATA_ANY(value);
	len = VARSIZE_ANY_EXHDR(value);
	room = len * MAX_CONVERSION_GROWTH + 1;
	converted = palloc(room);
	done =
		pg_do_encoding_conversion_buf(target->conversion, GetDatabaseEncoding(), target->encoding,
									  (unsigned char *) text, len, converted, room, true);
	pfree(converted);
	if (done >= len)
		return NULL;
	return GetDatabaseEncoding() == PG_UTF8
			   ? psprintf("U+%04X", utf8_to_unicode((const unsigned char *) text + done))
			   : pstrdup("a character");
}

typedef enum Kind
{
	KIND_TEXT,
	KIND_DATE,
	KIND_AMOUNT,
	KIND_WHOLE_AMOUNT
} Kind;

/* What cells of a source are, in a style of amounts. */
static Kind
source_kind(const char *source, const char *money_style)
{
	if (strcmp(source, "effective_date") == 0 || strcmp(source, "expiry_date") == 0)
		return KIND_DATE;
	if (strcmp(source, "per_occurrence") != 0 && strcmp(source, "aggregate") != 0)
		return KIND_TEXT;
	return strcmp(money_style, "integer") == 0 ? KIND_WHOLE_AMOUNT : KIND_AMOUNT;
}

/* Why a cell is not of its kind: dates may be infinite, and amounts negative or not a number; NULL if it is. */
static const char *
kind_problem(Kind kind, const char *bytes, int len)
{
	bool is_whole = true;

	if (kind == KIND_DATE && len > 0 && !isdigit((unsigned char) bytes[0]))
		return "is not a date";
	if (kind != KIND_AMOUNT && kind != KIND_WHOLE_AMOUNT)
		return NULL;
	for (int i = 0; i < len; i++)
	{
		if (!isdigit((unsigned char) bytes[i]) && bytes[i] != '.')
			return "is not an amount";
		is_whole &= bytes[i] != '.';
	}
	return kind == KIND_WHOLE_AMOUNT && !is_whole ? "is not a whole amount" : NULL;
}

/* What is wrong with a cell; NULL if nothing is. */
static char *
cell_problem(const Target *target, Datum cell, bool isnull, const char *heading, bool required,
			 Kind kind)
{
	text *value = isnull ? NULL : DatumGetTextPP(cell);
	const char *bytes = isnull ? "" : VARDATA_ANY(value);
	int len = isnull ? 0 : VARSIZE_ANY_EXHDR(value);
	const char *problem;
	char *lacking;

	if (required && len == 0)
		return psprintf("required column \"%s\" is empty", heading);
	problem = kind_problem(kind, bytes, len);
	if (problem != NULL)
		return psprintf("column \"%s\" %s", heading, problem);
	lacking = isnull ? NULL : character_lacking(target, value);
	return lacking
			   ? psprintf("column \"%s\" has %s, which %s has not", heading, lacking, target->name)
			   : NULL;
}

/* An array of texts, or of booleans, in C. */
typedef struct Column
{
	Datum *values;
	bool *nulls;
	int count;
} Column;

static Column
column_of(ArrayType *array)
{
	Column column;

	deconstruct_array(array, ARR_ELEMTYPE(array), ARR_ELEMTYPE(array) == BOOLOID ? 1 : -1,
					  ARR_ELEMTYPE(array) == BOOLOID,
					  ARR_ELEMTYPE(array) == BOOLOID ? TYPALIGN_CHAR : TYPALIGN_INT, &column.values,
					  &column.nulls, &column.count);
	return column;
}

/* The text at a place; "" if it is NULL or not there. */
static const char *
column_text(const Column *column, int place)
{
	return place < column->count && !column->nulls[place]
			   ? TextDatumGetCString(column->values[place])
			   : "";
}

/*
 * canopy_summit.cells_problem(cells text[], headings text[], sources text[], required boolean[], money_styles text[],
 * encoding text) -> text: the first cell that cannot be exported.
 */
static Datum
canopy_summit_cells_problem_confidential(PG_FUNCTION_ARGS)
{
	Column cells = column_of(PG_GETARG_ARRAYTYPE_P(0));
	Column headings = column_of(PG_GETARG_ARRAYTYPE_P(1));
	Column sources = column_of(PG_GETARG_ARRAYTYPE_P(2));
	Column required = column_of(PG_GETARG_ARRAYTYPE_P(3));
	Column styles = column_of(PG_GETARG_ARRAYTYPE_P(4));
	Target target = target_find(text_to_cstring(PG_GETARG_TEXT_PP(5)));

	for (int i = 0; i < cells.count; i++)
	{
		char *problem =
			cell_problem(&target, cells.values[i], cells.nulls[i], column_text(&headings, i),
						 i < required.count && !required.nulls[i] &&
							 DatumGetBool(required.values[i]),
						 source_kind(column_text(&sources, i), column_text(&styles, i)));

		if (problem != NULL)
			PG_RETURN_TEXT_P(cstring_to_text(problem));
	}
	PG_RETURN_NULL();
}

/* canopy_summit.list_cell(list jsonb, separator text) -> text: NULL if it is no array, or an empty one */
Datum
canopy_summit_list_cell(PG_FUNCTION_ARGS)
{
	Jsonb *list = PG_GETARG_JSONB_P(0);
	text *separator = PG_GETARG_TEXT_PP(1);
	StringInfoData cell;
	JsonWalk walk;
	bool is_first = true;

	if (!JB_ROOT_IS_ARRAY(list) || JB_ROOT_IS_SCALAR(list) || JB_ROOT_COUNT(list) == 0)
		PG_RETURN_NULL();
	initStringInfo(&cell);
	walk = walk_begin(&list->root);
	while (walk_next(&walk))
	{
		if (!is_first)
			appendBinaryStringInfo(&cell, VARDATA_ANY(separator), VARSIZE_ANY_EXHDR(separator));
		if (walk.value.type == jbvString)
			appendBinaryStringInfo(&cell, walk.value.val.string.val, walk.value.val.string.len);
		is_first = false;
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(cell.data, cell.len));
}

/* canopy_summit.list_problem(list jsonb, separator text) -> text */
Datum
canopy_summit_list_problem(PG_FUNCTION_ARGS)
{
	Jsonb *list = PG_GETARG_JSONB_P(0);
	char *separator = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char *mark = separator + strspn(separator, " ");
	int len = strlen(mark);
	JsonWalk walk;

	while (len > 0 && mark[len - 1] == ' ')
		len--;
	if (len == 0)
	{
		mark = separator;
		len = strlen(separator);
	}
	if (!JB_ROOT_IS_ARRAY(list) || JB_ROOT_IS_SCALAR(list))
		PG_RETURN_NULL();
	walk = walk_begin(&list->root);
	while (walk_next(&walk))
	{
		if (walk.value.type != jbvString)
			PG_RETURN_TEXT_P(cstring_to_text("an endorsement is not a text"));
		if (memmem(walk.value.val.string.val, walk.value.val.string.len, mark, len) != NULL)
			PG_RETURN_TEXT_P(cstring_to_text(
				psprintf("an endorsement contains the separator \"%s\"", separator)));
	}
	PG_RETURN_NULL();
}
