/*
 * instance.c
 *	  Which database this is, as jobs remember it, so that a copy of it sends
 *	  nothing that the original still sends.
 */
#include "job.h"

#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(canopy_summit_instance);

#define INSTANCE_FILE_MAX 4096 /* bytes that count */

/* Append the content of the file that tells physical copies apart. */
static void
append_file(StringInfo out, const char *path)
{
	FILE *file = AllocateFile(path, PG_BINARY_R);
	char buffer[INSTANCE_FILE_MAX];
	size_t len;

	if (file == NULL)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open instance_file \"%s\": %m", path)));
	len = fread(buffer, 1, sizeof(buffer), file);
	if (ferror(file))
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read instance_file \"%s\": %m", path)));
	FreeFile(file);
	appendBinaryStringInfo(out, buffer, len);
}

/* A digest of system identifier, database and the content of instance_file, which is read at most once a second. */
int64
instance_current(void)
{
	static TimestampTz read_at = 0;
	static int64 instance;
	TimestampTz now = GetCurrentTimestamp();
	StringInfoData text;

	if (read_at != 0 && now - read_at < USECS_PER_SEC)
		return instance;
	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT "/%u/", GetSystemIdentifier(), MyDatabaseId);
	if (setting_instance_file[0] != '\0')
		append_file(&text, setting_instance_file);
	instance =
		(int64) DatumGetUInt64(hash_any_extended((const unsigned char *) text.data, text.len, 0));
	read_at = now;
	pfree(text.data);
	return instance;
}

/* canopy_summit.instance() -> bigint */
Datum
canopy_summit_instance(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(instance_current());
}
