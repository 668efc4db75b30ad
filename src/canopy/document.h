/*
 * document.h
 *	  Files that Canopy has: which operation brings which, and how they are kept.
 */
#ifndef CANOPY_SUMMIT_CANOPY_DOCUMENT_H
#define CANOPY_SUMMIT_CANOPY_DOCUMENT_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/operation.h"
#include "http/clamd.h"

#define FILE_PRIORITY 6 /* of jobs that bring files: after those that bring pulls */

/* An operation that answers with a file. */
typedef struct FileOperation
{
	const char *operation;
	const char *kind;     /* canopy_summit.file_kind */
	const char *owner;    /* the parameter that is its owner_id; NULL = it has none */
	const char *file;     /* the parameter that is its file_id */
	const char *fallback; /* the older operation for the same file; NULL = none */
} FileOperation;

/* A file, or why it is not here. */
typedef struct CanopyFile
{
	Oid server_oid;
	const char *server; /* its last known name */
	const char *kind;
	const char *owner_id;
	const char *file_id;
	TimestampTz fetched_at; /* start of the request */
	const char *bytes;      /* NULL = none came */
	size_t len;
	const char *state; /* canopy_summit.file_state */
	const char *reason;
	const char *media_type;
	const char *scan;
	const char *sha256; /* hexadecimal */
	bool changed;       /* out: other bytes are here now */
} CanopyFile;

extern const FileOperation *file_operation_find(const char *operation);
extern CanopyFile *
file_create(const FileOperation *operation, Oid server_oid, const char *server, Jsonb *params);
extern bool file_needs_scan(const char *bytes, size_t len);
extern void file_take(CanopyFile *file, const char *bytes, size_t len, const VirusScan *scan);
extern void file_note(const CanopyFile *file, const char *reason);
extern void file_store(CanopyFile *file);
extern void documents_want(List *settlements);

#endif /* CANOPY_SUMMIT_CANOPY_DOCUMENT_H */
