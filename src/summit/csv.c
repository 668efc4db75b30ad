/*
 * csv.c
 *	  CSV in and out: a file's bytes as text, a text as rows, and cells as a line.
 *
 * What a file holds is in no message: COPY's parser is called below the level
 * that shows the line it is at, and an error says which one instead.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/copy.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/confidential.h"
#include "engine/statement.h"
#include "engine/values.h"

CONFIDENTIAL_FUNCTION(canopy_summit_csv_rows);
CONFIDENTIAL_FUNCTION(canopy_summit_csv_line);
CONFIDENTIAL_FUNCTION(canopy_summit_csv_text);

#define UTF8_BOM     "\xef\xbb\xbf"
#define UTF8_BOM_LEN 3

typedef struct CsvSource
{
	const char *bytes; /* that COPY has not taken yet */
	size_t len;
} CsvSource;

/* Where csv_read() takes from: COPY hands its callback nothing to know it by.  It is set while COPY reads. */
static CsvSource *csv_source;

/* Whether these bytes begin with a byte-order mark of UTF-8. */
static bool
has_bom(const char *bytes, size_t len)
{
	return len >= UTF8_BOM_LEN && memcmp(bytes, UTF8_BOM, UTF8_BOM_LEN) == 0;
}

/* Hand COPY up to `most` bytes, 0 at the end. */
static int
csv_read(void *buffer, int least, int most)
{
	int len = Min(csv_source->len, most);

	CHECK_FOR_INTERRUPTS();
	memcpy(buffer, csv_source->bytes, len);
	csv_source->bytes += len;
	csv_source->len -= len;
	return len;
}

/*
 * The same CSV with quotes around each record that is \. and nothing else: unquoted, PostgreSQL before
 * 18 takes it for the end of the file.  COPY, too, tells what is in quotes by their number.
 */
static void
csv_quote_end_markers(CsvSource *source)
{
	const char *end = source->bytes + source->len;
	bool in_quotes = false;
	bool at_start = true;
	StringInfoData quoted;

	initStringInfo(&quoted);
	enlargeStringInfo(&quoted, source->len);
	for (const char *c = source->bytes; c < end; c++)
	{
		if (at_start && end - c >= 3 && c[0] == '\\' && c[1] == '.' &&
			(c[2] == '\r' || c[2] == '\n'))
		{
			appendStringInfoString(&quoted, "\"\\.\"");
			c++;
			continue;
		}
		appendStringInfoChar(&quoted, *c);
		in_quotes ^= *c == '"';
		at_start = !in_quotes && (*c == '\r' || *c == '\n');
	}
	source->bytes = quoted.data;
	source->len = quoted.len;
}

/* Whether \. is anywhere in the CSV. */
static bool
csv_may_end_early(const CsvSource *source)
{
	const char *end = source->bytes + source->len;
	const char *c = source->bytes;

	while ((c = memchr(c, '\\', end - c)) != NULL)
		if (++c < end && *c == '.')
			return true;
	return false;
}

/* A text as what COPY is to read, without a byte-order mark. */
static CsvSource
csv_source_of(const text *csv)
{
	CsvSource source = {.bytes = VARDATA_ANY(csv), .len = VARSIZE_ANY_EXHDR(csv)};

	if (GetDatabaseEncoding() == PG_UTF8 && has_bom(source.bytes, source.len))
	{
		source.bytes += UTF8_BOM_LEN;
		source.len -= UTF8_BOM_LEN;
	}
	if (csv_may_end_early(&source))
		csv_quote_end_markers(&source);
	return source;
}

/* The one byte between cells.  Error 22023: it cannot be that. */
static char
csv_delimiter(const text *delimiter)
{
	char byte = VARSIZE_ANY_EXHDR(delimiter) == 1 ? *VARDATA_ANY(delimiter) : '"';

	if (byte == '"' || byte == '\\' || byte == '\r' || byte == '\n')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid delimiter of a CSV"),
				 errhint("Use one character of ASCII that is no quote, backslash or line break.")));
	return byte;
}

/*
 * Have COPY's parser read csv_source.  It wants a table, and takes as many fields as there are.
 * Without its encoding named the CSV would be in the client's.
 */
static CopyFromState
csv_begin(Relation table, char delimiter)
{
	List *options =
		list_make3(makeDefElem("format", (Node *) makeString("csv"), -1),
				   makeDefElem("delimiter", (Node *) makeString(pnstrdup(&delimiter, 1)), -1),
				   makeDefElem("encoding", (Node *) makeString(pstrdup(GetDatabaseEncodingName())),
							   -1));

	return BeginCopyFrom(NULL, table, NULL, NULL, false, csv_read, NIL, options);
}

/* Line breaks in a text: LF, CR, or CR and LF. */
static int64
count_line_breaks(const char *text)
{
	int64 count = 0;

	for (; *(text += strcspn(text, "\r\n")) != '\0'; text++)
		count += !(text[0] == '\r' && text[1] == '\n');
	return count;
}

/* Put a record that begins at this line; returns the lines that it takes.  A field's line breaks are those in quotes. */
static int64
csv_put_row(FunctionCallInfo fcinfo, int64 line, char **fields, int count)
{
	Datum *datums = palloc(sizeof(Datum) * count);
	bool *nulls = palloc(sizeof(bool) * count);
	Values values = {0};
	int64 lines = 1;

	for (int i = 0; i < count; i++)
	{
		nulls[i] = fields[i] == NULL;
		datums[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(fields[i]);
		lines += nulls[i] ? 0 : count_line_breaks(fields[i]);
	}
	values_add_int64(&values, line);
	values_add(&values, statement_array(datums, nulls, count, TEXTOID));
	values_put_row(&values, fcinfo);
	return lines;
}

/* Say which line COPY's parser is at. */
static void
csv_context(void *line)
{
	errcontext("line %llu of the CSV", (unsigned long long) *(int64 *) line);
}

/* Put every record of csv_source.  Errors are those of COPY, with the record's first line. */
static void
csv_put_rows(FunctionCallInfo fcinfo, CopyFromState copy)
{
	int64 line = 1;
	ErrorContextCallback callback = {.previous = error_context_stack,
									 .callback = csv_context,
									 .arg = &line};
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "canopy_summit CSV row",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row);
	char **fields;
	int count;

	error_context_stack = &callback;
	while (NextCopyFromRawFields(copy, &fields, &count))
	{
		CHECK_FOR_INTERRUPTS();
		line += csv_put_row(fcinfo, line, fields, count);
		MemoryContextReset(row);
	}
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row);
}

/* canopy_summit.csv_rows(csv text, delimiter text, OUT line bigint, OUT fields text[]) -> setof record */
static Datum
canopy_summit_csv_rows_confidential(PG_FUNCTION_ARGS)
{
	CsvSource source = csv_source_of(PG_GETARG_TEXT_PP(0));
	Oid schema = get_namespace_oid("canopy_summit", false);
	Relation table = table_open(get_relname_relid("import_problem", schema), AccessShareLock);
	CopyFromState copy;

	InitMaterializedSRF(fcinfo, 0);
	csv_source = &source;
	copy = csv_begin(table, csv_delimiter(PG_GETARG_TEXT_PP(1)));
	csv_put_rows(fcinfo, copy);
	EndCopyFrom(copy);
	csv_source = NULL;
	table_close(table, AccessShareLock);
	return (Datum) 0;
}

/* Whether a cell means something else without quotes, or may lose the blanks around it. */
static bool
cell_needs_quotes(const char *cell, int len, char delimiter)
{
	if (len == 0)
		return false;
	if (strchr(" \t", cell[0]) != NULL || strchr(" \t", cell[len - 1]) != NULL)
		return true;
	for (int i = 0; i < len; i++)
		if (cell[i] == delimiter || cell[i] == '"' || cell[i] == '\r' || cell[i] == '\n')
			return true;
	return false;
}

/* Append a cell in quotes, with each quote in it doubled. */
static void
append_quoted(StringInfo line, const char *cell, int len)
{
	const char *end = cell + len;
	const char *quote;

	appendStringInfoChar(line, '"');
	while ((quote = memchr(cell, '"', end - cell)) != NULL)
	{
		appendBinaryStringInfo(line, cell, quote + 1 - cell);
		appendStringInfoChar(line, '"');
		cell = quote + 1;
	}
	appendBinaryStringInfo(line, cell, end - cell);
	appendStringInfoChar(line, '"');
}

/* Append a cell as RFC 4180 has it. */
static void
append_cell(StringInfo line, const text *cell, char delimiter, bool is_only)
{
	const char *bytes = VARDATA_ANY(cell);
	int len = VARSIZE_ANY_EXHDR(cell);

	if ((len == 0 && is_only) || cell_needs_quotes(bytes, len, delimiter))
		append_quoted(line, bytes, len);
	else
		appendBinaryStringInfo(line, bytes, len);
}

/* canopy_summit.csv_line(cells text[], delimiter text) -> text */
static Datum
canopy_summit_csv_line_confidential(PG_FUNCTION_ARGS)
{
	ArrayType *cells = PG_GETARG_ARRAYTYPE_P(0);
	char delimiter = csv_delimiter(PG_GETARG_TEXT_PP(1));
	StringInfoData line;
	Datum *values;
	bool *nulls;
	int count;

	deconstruct_array(cells, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	initStringInfo(&line);
	/* Each cell of the array has four bytes more than its text: two quotes and a delimiter. */
	enlargeStringInfo(&line, VARSIZE(cells));
	/* The line is made as the text that it becomes. */
	appendStringInfoSpaces(&line, VARHDRSZ);
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoCharMacro(&line, delimiter);
		if (!nulls[i])
			append_cell(&line, DatumGetTextPP(values[i]), delimiter, count == 1);
	}
	SET_VARSIZE(line.data, line.len);
	PG_RETURN_TEXT_P((text *) line.data);
}

/* Refuse a file that no text can be made of. */
static void
csv_check_bytes(const char *bytes, size_t len)
{
	const char *nul = memchr(bytes, '\0', len);

	if (len >= 2 && (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0))
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
						errmsg("the file is in UTF-16"), errhint("Save it as UTF-8.")));
	if (nul != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE), errmsg("the file has a NUL byte"),
				 errdetail("It is byte %lld.", (long long) (nul + 1 - bytes))));
}

/* The encoding of a file's bytes, and where its text begins.  Error 22021: they are not what their mark says. */
static int
csv_encoding(const char **bytes, int *len)
{
	bool marked = has_bom(*bytes, *len);

	if (marked)
	{
		*bytes += UTF8_BOM_LEN;
		*len -= UTF8_BOM_LEN;
	}
	if (pg_verify_mbstr(PG_UTF8, *bytes, *len, true))
		return PG_UTF8;
	if (marked)
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
						errmsg("the file is not in UTF-8, as its byte-order mark says"),
						errhint("Save it as UTF-8.")));
	return PG_WIN1252;
}

/* canopy_summit.csv_text(bytes bytea) -> text */
static Datum
canopy_summit_csv_text_confidential(PG_FUNCTION_ARGS)
{
	bytea *file = PG_GETARG_BYTEA_PP(0);
	const char *bytes = VARDATA_ANY(file);
	int len = VARSIZE_ANY_EXHDR(file);
	int encoding;
	char *converted;

	csv_check_bytes(bytes, len);
	encoding = csv_encoding(&bytes, &len);
	converted = pg_any_to_server(bytes, len, encoding);
	/* What needs no conversion is returned as it is, and ends nowhere. */
	PG_RETURN_TEXT_P(converted == bytes ? cstring_to_text_with_len(bytes, len)
										: cstring_to_text(converted));
}
