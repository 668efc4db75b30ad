/*
 * answer.h
 *	  A response decoded, out of its envelope.
 */
#ifndef CANOPY_SUMMIT_API_ANSWER_H
#define CANOPY_SUMMIT_API_ANSWER_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/failure.h"
#include "api/operation.h"
#include "http/transfer.h"

typedef struct Answer
{
	Jsonb *json;          /* out of its envelope; NULL = a file, or nothing */
	List *replaced;       /* paths that json_read() had to replace */
	const char *received; /* the bytes of the response */
	size_t received_len;
	const char *content_type; /* of a file, as the server states it; NULL = not a file */
	TimestampTz started_at;
} Answer;

extern void answer_take_file(Answer *answer, const HttpResponse *response);
extern Jsonb *answer_json(const Answer *answer);
extern Answer *
answer_read(const Operation *operation, const HttpResponse *response, Failure **failure);

#endif /* CANOPY_SUMMIT_API_ANSWER_H */
