/*
 * upload.h
 *	  Uploads of certificates: the row that asks for one, and what its answers
 *	  change.
 */
#ifndef CANOPY_SUMMIT_SUMMIT_UPLOAD_H
#define CANOPY_SUMMIT_SUMMIT_UPLOAD_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "engine/new_row.h"
#include "server/connection.h"

/* The row of an app's table that an upload is for. */
typedef struct UploadSource
{
	const char *table;
	Jsonb *key; /* its primary key as an object */
	ErrorData
		*refusal; /* the payload was refused and is only recorded; NULL = it was not tried yet */
} UploadSource;

extern UploadSource *upload_source;
extern void upload_hash(Jsonb *body, uint8 *hash);
extern void upload_fill_job(NewRow *row, const Connection *connection);

#endif /* CANOPY_SUMMIT_SUMMIT_UPLOAD_H */
