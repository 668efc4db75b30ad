/*
 * compat.h
 *	  Names that differ between PostgreSQL 15 and later majors.
 */
#ifndef CANOPY_SUMMIT_COMPAT_H
#define CANOPY_SUMMIT_COMPAT_H

#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "common/jsonapi.h"
#include "utils/acl.h"

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

#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

#if PG_VERSION_NUM >= 170000
#define json_lexer(bytes, len, encoding) \
	makeJsonLexContextCstringLen(NULL, bytes, len, encoding, false)
#else
#define json_lexer(bytes, len, encoding) \
	makeJsonLexContextCstringLen(unconstify(char *, bytes), len, encoding, false)
#endif

#endif /* CANOPY_SUMMIT_COMPAT_H */
