/*
 * wait.c
 *	  Waiting for the end of a job or an upload.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "engine/wait.h"

PG_FUNCTION_INFO_V1(canopy_summit_wait_for_job);
PG_FUNCTION_INFO_V1(canopy_summit_wait_for_upload);

static Waited waited_job = {
	"job",
	"sent",
	{1,
	 {INT8OID},
	 "SELECT state::text, state IN ('queued', 'running'), xmin"
	 " FROM canopy_summit.job WHERE job_id = $1"},
};
static Waited waited_upload = {
	"upload",
	"sent",
	{1,
	 {INT8OID},
	 "SELECT s.status, s.status IN ('queued', 'sending', 'accepted'), u.xmin"
	 " FROM summit.upload_status s JOIN summit.upload u USING (upload_id) WHERE u.upload_id = $1"},
};

/* canopy_summit.wait_for_job(job_id bigint, timeout interval) -> text */
Datum
canopy_summit_wait_for_job(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(
		cstring_to_text(wait_for_end(&waited_job, PG_GETARG_INT64(0), PG_GETARG_DATUM(1))));
}

/* summit_wait_for_upload(upload_id bigint, timeout interval) -> text */
Datum
canopy_summit_wait_for_upload(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(
		cstring_to_text(wait_for_end(&waited_upload, PG_GETARG_INT64(0), PG_GETARG_DATUM(1))));
}
