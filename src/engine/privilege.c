/*
 * privilege.c
 *	  Questions about the levels that grant_access() hands out.
 *
 * A level is a set of GRANTs, so a question is a test of one function's
 * EXECUTE right: the marker functions canopy_summit.reads_pii() and
 * canopy_summit.is_admin() exist for that.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "engine/privilege.h"

PG_FUNCTION_INFO_V1(canopy_summit_may_read_pii);

/* Whether the current role may execute the argument-less marker function. */
static bool
privilege_may_execute(const char *marker)
{
	oidvector *no_arguments = buildoidvector(NULL, 0);
	Oid schema = get_namespace_oid("canopy_summit", false);
	Oid function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(marker),
								   PointerGetDatum(no_arguments), ObjectIdGetDatum(schema));

	return OidIsValid(function) && aclcheck_function(function, GetUserId()) == ACLCHECK_OK;
}

bool
privilege_reads_pii(void)
{
	return privilege_may_execute("reads_pii");
}

bool
privilege_is_admin(void)
{
	return privilege_may_execute("is_admin");
}

/* The role whose rights the engine's own statements run with: the owner of schema canopy_summit. */
Oid
privilege_extension_owner(void)
{
	Oid schema = get_namespace_oid("canopy_summit", false);
	HeapTuple tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for namespace %u", schema);
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* canopy_summit.may_read_pii() -> boolean: what the views ask once per query */
Datum
canopy_summit_may_read_pii(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(privilege_reads_pii());
}
