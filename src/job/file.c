/*
 * file.c
 *	  Files that a job sends beside its body, which may be larger than JSON can be.
 *
 * They are kept from the transaction that enqueues the job until it has ended, when the
 * trigger job_file_forget deletes them: a job that is sent again reads them again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"

#include "api/request.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "job/file.h"

static Statement keep_file = {
	6,
	{INT8OID, INT4OID, TEXTOID, TEXTOID, INT8OID, BYTEAOID},
	"INSERT INTO canopy_summit.job_file (job_id, number, name, media_type, size, content)"
	" VALUES ($1, $2, $3, $4, $5, $6)",
};

static Statement read_files = {
	1,
	{INT8OID},
	"SELECT number, name, media_type, content FROM canopy_summit.job_file WHERE job_id = $1"
	" ORDER BY number",
};

/* The bytes of files, a List of RequestFile *. */
int64
job_files_bytes(List *files)
{
	int64 bytes = 0;
	ListCell *cell;

	foreach(cell, files)
		bytes += ((const RequestFile *) lfirst(cell))->len;
	return bytes;
}

/* Keep the files of a job that this transaction enqueues, a List of RequestFile *. */
void
job_files_keep(int64 job_id, List *files)
{
	ListCell *cell;

	foreach(cell, files)
	{
		const RequestFile *file = lfirst(cell);
		Values values = {0};

		values_add_int64(&values, job_id);
		values_add_int32(&values, file->number);
		values_add_text(&values, file->name);
		values_add_text(&values, file->media_type);
		values_add_int64(&values, file->len);
		values_add_bytes(&values, file->bytes, file->len);
		(void) statement_run_values(&keep_file, &values);
		pfree(DatumGetPointer(values.values[values.count - 1]));
	}
}

/* The files of a job, a List of RequestFile *, in the current memory context. */
List *
job_files_read(int64 job_id)
{
	MemoryContext caller = CurrentMemoryContext; /* SPI leaves its own */
	Datum argument = Int64GetDatum(job_id);
	uint64 count = statement_run(&read_files, &argument, NULL);
	SPITupleTable *found = SPI_tuptable;
	List *files = NIL;

	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < count; i++)
	{
		Record record = {.row = found->vals[i], .descriptor = found->tupdesc};
		RequestFile *file = palloc(sizeof(RequestFile));
		bytea *content;

		file->number = record_int32(&record);
		file->name = record_text(&record);
		file->media_type = record_text(&record);
		content = record_bytes_copy(&record);
		file->bytes = VARDATA_ANY(content);
		file->len = VARSIZE_ANY_EXHDR(content);
		files = lappend(files, file);
	}
	SPI_freetuptable(found);
	return files;
}
