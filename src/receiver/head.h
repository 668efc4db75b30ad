/*
 * head.h
 *	  The head of a request to the receiver.
 */
#ifndef CANOPY_SUMMIT_RECEIVER_HEAD_H
#define CANOPY_SUMMIT_RECEIVER_HEAD_H

#include "postgres.h"

struct MHD_Connection;

/* What the headers of a request say about it. */
typedef struct HeaderScan
{
	const char *next; /* where the next line has to begin in the buffer; NULL = anywhere */
	bool is_malformed;
	size_t len; /* of the headers as head_copy() writes them */
	int hosts;
	int lengths;   /* Content-Length */
	int encodings; /* Transfer-Encoding */
	bool is_chunked;
	uint64 content_length;
} HeaderScan;

extern void head_scan(struct MHD_Connection *connection, const char *method, const char *uri_end,
					  const char *version, HeaderScan *scan);
extern void head_copy(struct MHD_Connection *connection, char *to);
extern bool head_decode_path(const char *url, char *path, size_t size);

#endif /* CANOPY_SUMMIT_RECEIVER_HEAD_H */
