/*
 * compat.h
 *	  Names that differ between PostgreSQL 15 and later majors.
 */
#ifndef CANOPY_SUMMIT_BASE_COMPAT_H
#define CANOPY_SUMMIT_BASE_COMPAT_H

#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "utils/acl.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM >= 160000
#define aclcheck_server(oid, role)   object_aclcheck(ForeignServerRelationId, oid, role, ACL_USAGE)
#define aclcheck_function(oid, role) object_aclcheck(ProcedureRelationId, oid, role, ACL_EXECUTE)
#else
#define aclcheck_server(oid, role)   pg_foreign_server_aclcheck(oid, role, ACL_USAGE)
#define aclcheck_function(oid, role) pg_proc_aclcheck(oid, role, ACL_EXECUTE)
#endif

#if PG_VERSION_NUM >= 170000
#define my_procno MyProcNumber
#define my_lxid   MyProc->vxid.lxid
#else
#define my_procno MyProc->pgprocno
#define my_lxid   MyProc->lxid
#endif

/* PostgreSQL 19 reads rows by it. */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(descriptor) ((void) (descriptor))
#endif

/* PostgreSQL 19 wants it first in a declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* What a signal handler passes on to another one. */
#if PG_VERSION_NUM >= 190000
#define SIGNAL_PASSED postgres_signal_arg, pg_siginfo
#else
#define SIGNAL_PASSED postgres_signal_arg
#define PG_SIG_IGN    SIG_IGN
#endif

/* The wait event that pg_stat_activity shows; PostgreSQL before 17 knows no names for extensions'. */
static inline void
wait_event_named(const char *name, uint32 *event)
{
#if PG_VERSION_NUM >= 170000
	if (*event == 0)
		*event = WaitEventExtensionNew(name);
#else
	*event = PG_WAIT_EXTENSION;
#endif
}

#if PG_VERSION_NUM >= 170000
#define wait_set_create(count) CreateWaitEventSet(NULL, count)
#else
#define wait_set_create(count) CreateWaitEventSet(TopMemoryContext, count)
#endif

#endif /* CANOPY_SUMMIT_BASE_COMPAT_H */
