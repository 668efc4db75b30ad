/*
 * instance.c
 *	  Which database this is, as jobs remember it, so that a copy of it sends
 *	  nothing that the original still sends.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/place.h"
#include "engine/instance.h"

PG_FUNCTION_INFO_V1(canopy_summit_instance);

#define INSTANCE_FILE_MAX 4096 /* bytes that count */

static char *setting_instance_file;

/* Append the content of the file that tells physical copies apart; false if it is not there and may be missing. */
static bool
append_file(StringInfo out, const char *path, bool missing_ok)
{
	size_t len;
	char *bytes = place_read("instance_file", path, INSTANCE_FILE_MAX, missing_ok, NULL, &len);

	if (bytes == NULL)
		return false;
	appendBinaryStringInfo(out, bytes, len);
	return true;
}

/*
 * A digest of system identifier, database, the extension's schema, which is
 * another one when the extension was made anew, and the content of
 * instance_file, which is read at most once a second.  Inside a transaction.
 * False if that file cannot be opened and may be missing, as on a standby.
 */
static bool
instance_read(bool missing_ok, int64 *result)
{
	static TimestampTz read_at = 0;
	static Oid read_for = InvalidOid;
	static int64 instance;
	TimestampTz now = GetCurrentTimestamp();
	Oid schema = get_namespace_oid("canopy_summit", false);
	StringInfoData text;

	*result = instance;
	if (read_for == schema && now - read_at < USECS_PER_SEC)
		return true;
	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT "/%u/%u/", GetSystemIdentifier(), MyDatabaseId, schema);
	if (setting_instance_file[0] != '\0' && !append_file(&text, setting_instance_file, missing_ok))
		return false;
	instance =
		(int64) DatumGetUInt64(hash_any_extended((const unsigned char *) text.data, text.len, 0));
	read_at = now;
	read_for = schema;
	pfree(text.data);
	*result = instance;
	return true;
}

/* This instance.  Errors: those of files. */
int64
instance_current(void)
{
	int64 instance;

	(void) instance_read(false, &instance);
	return instance;
}

/* The same for what only shows: false if it cannot be told here. */
bool
instance_find(int64 *instance)
{
	return instance_read(true, instance);
}

/* What a job of an instance is marked with while it waits for arm() since a promotion. */
int64
instance_disarmed(int64 instance)
{
	return ~instance;
}

/* canopy_summit.instance() -> bigint */
Datum
canopy_summit_instance(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(instance_current());
}

/* What tells a copy from its original. */
void
instance_settings(void)
{
	DefineCustomStringVariable(
		"canopy_summit.instance_file",
		"File outside the data directory that tells this instance from its copies.",
		"Jobs of another instance wait for canopy_summit.arm().", &setting_instance_file, "",
		PGC_SIGHUP, 0, NULL, NULL, NULL);
}
