/*
 * statement.c
 *	  Running the engine's own SQL statements by kept plans.
 *
 * The caller is connected to SPI; rows are in SPI_tuptable.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "engine/engine.h"
#include "engine/statement.h"

/*
 * Plan a statement, and keep the plan.  This is where its indexes are chosen, if
 * the caller has not entered by engine_begin().
 */
static void
statement_prepare(Statement *statement)
{
	int nest_level = NewGUCNestLevel();

	engine_set_planner();
	if (statement->plan == NULL)
	{
		/* Arrays of a few elements always look cheaper to a plan of their own, which costs more than it saves. */
		SPIPlanPtr plan = SPI_prepare_cursor(statement->sql, statement->argument_count,
											 statement->arguments, CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
		statement->plan = plan;
	}
	ReleaseCachedPlan(SPI_plan_get_cached_plan(statement->plan), CurrentResourceOwner);
	AtEOXact_GUC(false, nest_level);
}

/* Whether PostgreSQL will use the plan as it is, and not make another: for other tables or another search path. */
static bool
statement_is_planned(const Statement *statement)
{
	CachedPlanSource *source;

	if (statement->plan == NULL)
		return false;
	source = linitial(SPI_plan_get_plan_sources(statement->plan));
	if (!source->is_valid || source->gplan == NULL)
		return false;
	/* A utility statement, such as LOCK, depends on no search path. */
	return source->search_path == NULL || CachedPlanIsSimplyValid(source, source->gplan, NULL);
}

/*
 * The kept plan of a statement.  Should it become invalid between here and its
 * use, PostgreSQL plans it with the settings of the session, until the next time.
 */
SPIPlanPtr
statement_plan(Statement *statement)
{
	if (!statement_is_planned(statement))
		statement_prepare(statement);
	return statement->plan;
}

static uint64
result_rows(int result)
{
	if (result < 0)
		elog(ERROR, "could not run a statement: %s", SPI_result_code_string(result));
	return SPI_processed;
}

/* Run a statement; `nulls` is NULL or a character each argument.  Returns the rows processed. */
uint64
statement_run(Statement *statement, Datum *arguments, const char *nulls)
{
	return result_rows(SPI_execute_plan(statement_plan(statement), arguments, nulls, false, 0));
}

/*
 * The same, but it sees what others have committed by now, whatever the
 * transaction's snapshot, and what this very statement has done.
 */
uint64
statement_run_now(Statement *statement, Datum *arguments, const char *nulls)
{
	SPIPlanPtr plan = statement_plan(statement);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	int result =
		SPI_execute_snapshot(plan, arguments, nulls, snapshot, InvalidSnapshot, false, true, 0);

	UnregisterSnapshot(snapshot);
	return result_rows(result);
}

/* The arguments' nulls as SPI wants them. */
static const char *
null_marks(const Values *arguments, char *marks)
{
	for (int i = 0; i < arguments->count; i++)
		marks[i] = arguments->nulls[i] ? 'n' : ' ';
	return marks;
}

uint64
statement_run_values(Statement *statement, Values *arguments)
{
	char marks[VALUES_MAX];

	return statement_run(statement, arguments->values, null_marks(arguments, marks));
}

uint64
statement_run_values_now(Statement *statement, Values *arguments)
{
	char marks[VALUES_MAX];

	return statement_run_now(statement, arguments->values, null_marks(arguments, marks));
}

/* The one value of the last result, which is not NULL. */
Datum
statement_value(void)
{
	Record record = statement_record(0);

	return record_datum(&record);
}

/* A row of the last result, from 0, before its first column. */
Record
statement_record(uint64 row)
{
	return (Record){.row = SPI_tuptable->vals[row], .descriptor = SPI_tuptable->tupdesc};
}

/* The next column, as it is in the row. */
Datum
record_datum(Record *record)
{
	return SPI_getbinval(record->row, record->descriptor, ++record->column, &record->isnull);
}

int64
record_int64(Record *record)
{
	Datum value = record_datum(record);

	return record->isnull ? 0 : DatumGetInt64(value); /* which may be passed by reference */
}

/* A text, in the current memory context. */
char *
record_text(Record *record)
{
	Datum value = record_datum(record);

	return record->isnull ? NULL : TextDatumGetCString(value);
}

/* A name, likewise. */
char *
record_name(Record *record)
{
	Datum value = record_datum(record);

	return record->isnull ? NULL : pstrdup(NameStr(*DatumGetName(value)));
}

/* A jsonb, likewise. */
Jsonb *
record_json(Record *record)
{
	Datum value = record_datum(record);

	return record->isnull ? NULL : DatumGetJsonbPCopy(value);
}

/* A bytea, which may be the one in the row. */
bytea *
record_bytes(Record *record)
{
	Datum value = record_datum(record);

	return record->isnull ? NULL : DatumGetByteaPP(value);
}

/* The same, in the current memory context. */
bytea *
record_bytes_copy(Record *record)
{
	Datum value = record_datum(record);

	return record->isnull ? NULL : DatumGetByteaPCopy(value);
}

/* Values as an array; `nulls` is NULL or tells which are NULL. */
Datum
statement_array(Datum *values, bool *nulls, int count, Oid type)
{
	int dims[1] = {count};
	int lower[1] = {1};
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(
		construct_md_array(values, nulls, 1, dims, lower, type, length, by_value, align));
}

/* A List of char * as text[]; NULL for NULL. */
Datum
statement_texts(List *texts)
{
	int count = list_length(texts);
	Datum *values = palloc(sizeof(Datum) * Max(count, 1));
	bool *nulls = palloc(sizeof(bool) * Max(count, 1));
	ListCell *cell;

	foreach(cell, texts)
	{
		int i = foreach_current_index(cell);

		nulls[i] = lfirst(cell) == NULL;
		values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(lfirst(cell));
	}
	return statement_array(values, nulls, count, TEXTOID);
}

/* A List of Oid as oid[]. */
Datum
statement_oids(List *oids)
{
	Datum *values = palloc(sizeof(Datum) * Max(list_length(oids), 1));
	ListCell *cell;

	foreach(cell, oids)
		values[foreach_current_index(cell)] = ObjectIdGetDatum(lfirst_oid(cell));
	return statement_array(values, NULL, list_length(oids), OIDOID);
}
