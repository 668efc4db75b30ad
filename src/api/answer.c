/*
 * answer.c
 *	  Responses to answers.
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "api/answer.h"
#include "api/failure.h"
#include "api/operation.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "http/transfer.h"

/* Whether the status is the success that the catalogue expects. */
static bool
is_success(const Operation *operation, int status)
{
	if (operation->envelope == ENVELOPE_REDIRECT)
		return status == 302;
	return (status >= 200 && status <= 299) ||
		   (status == 500 && (operation->flags & OPERATION_ANSWERS_500));
}

/* The value inside {"success": true, "<field>": …}; the whole answer where the field is not. */
static Jsonb *
unwrap(const Operation *operation, Jsonb *json)
{
	JsonbValue *field;

	if (operation->unwrap == NULL)
		return json;
	field = member_value(&json->root, operation->unwrap);
	return field == NULL ? json : JsonbValueToJsonb(field);
}

/* Whether the answer says of itself that it failed. */
static bool
says_failure(Jsonb *json)
{
	JsonbValue *success = member_value(&json->root, "success");

	return success != NULL && success->type == jbvBool && !success->val.boolean;
}

/* Take the file in a response as the answer. */
void
answer_take_file(Answer *answer, const HttpResponse *response)
{
	answer->received = response->body;
	answer->received_len = response->body_len;
	answer->content_type =
		response->content_type ? response->content_type : "application/octet-stream";
}

/* The answer's JSON; a file as {"base64": …, "content_type": …}. */
Jsonb *
answer_json(const Answer *answer)
{
	JsonBuilder builder = {0};

	if (answer->json != NULL || answer->content_type == NULL)
		return answer->json;
	builder_add_text(&builder, "base64", base64_encode(answer->received, answer->received_len));
	builder_add_text(&builder, "content_type", answer->content_type);
	return builder_finish_object(&builder);
}

/*
 * The answer in a response, in the current memory context; NULL and *failure if
 * it has none.  A redirect to a file is an answer without JSON, and so is one that nobody reads.
 */
Answer *
answer_read(const Operation *operation, const HttpResponse *response, Failure **failure)
{
	Answer *answer = palloc0(sizeof(Answer));
	const char *problem;

	answer->received = response->body;
	answer->received_len = response->body_len;
	if (operation->envelope == ENVELOPE_NONE && response->has_head &&
		is_success(operation, response->status))
		return answer;
	if (response->outcome != HTTP_COMPLETE || !is_success(operation, response->status))
	{
		*failure = failure_describe(response);
		return NULL;
	}
	if (operation->envelope == ENVELOPE_REDIRECT || operation->envelope == ENVELOPE_NONE)
		return answer;
	if (operation->envelope == ENVELOPE_BINARY)
	{
		answer_take_file(answer, response);
		return answer;
	}
	answer->json = json_read(response->body, response->body_len, &answer->replaced, &problem);
	if (answer->json == NULL)
		*failure = failure_describe_unreadable(response, problem);
	else if (says_failure(answer->json))
		*failure = failure_describe(response);
	else
	{
		answer->json = unwrap(operation, answer->json);
		return answer;
	}
	return NULL;
}
