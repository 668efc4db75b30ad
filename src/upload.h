/*
 * upload.h
 *	  Uploads of certificates: the row that asks for one, and what its answers
 *	  change.
 */
#ifndef CANOPY_SUMMIT_UPLOAD_H
#define CANOPY_SUMMIT_UPLOAD_H

#include "new_row.h"
#include "worker.h"

/* The row of an app's table that an upload is for. */
typedef struct UploadSource
{
	const char *table;
	Jsonb *key; /* its primary key as an object */
	ErrorData
		*refusal; /* the payload was refused and is only recorded; NULL = it was not tried yet */
} UploadSource;

/* upload.c */
extern UploadSource *upload_source;
extern void upload_hash(Jsonb *body, uint8 *hash);
extern void upload_fill_job(NewRow *row);

/* upload_effect.c */
extern void upload_accepted(List *flights);
extern void upload_ended(List *flights);
extern void upload_polled(List *flights);
extern bool upload_adopt_conflict(Flight *flight);

#endif /* CANOPY_SUMMIT_UPLOAD_H */
