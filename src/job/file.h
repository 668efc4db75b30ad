/*
 * file.h
 *	  Files that a job sends beside its body.
 */
#ifndef CANOPY_SUMMIT_JOB_FILE_H
#define CANOPY_SUMMIT_JOB_FILE_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern int64 job_files_bytes(List *files);

/* The caller is inside engine_begin() */
extern void job_files_keep(int64 job_id, List *files);
extern List *job_files_read(int64 job_id);

#endif /* CANOPY_SUMMIT_JOB_FILE_H */
