/*
 * component.c
 *	  Functions for a flow of one's own, in which a consumer connects an account: each
 *	  enqueues a job, and nothing is sent before COMMIT.
 *
 * Whoever logs in gives credentials to Canopy's components in the browser, which give
 * tokens for them: these come here.  How far a login is comes by webhooks, to view
 * canopy.pull_status.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/confidential.h"
#include "base/jsonb_build.h"
#include "canopy/arguments.h"
#include "canopy/enqueue_operation.h"
#include "engine/argument.h"
#include "server/connection.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_consent);
CONFIDENTIAL_FUNCTION(canopy_summit_consent_and_connect);
CONFIDENTIAL_FUNCTION(canopy_summit_connect);
CONFIDENTIAL_FUNCTION(canopy_summit_choose_mfa_option);
CONFIDENTIAL_FUNCTION(canopy_summit_submit_mfa);
CONFIDENTIAL_FUNCTION(canopy_summit_policy_search);
CONFIDENTIAL_FUNCTION(canopy_summit_exchange_reconnect_token);

#define CONSENT                                                             \
	{"device_identifier", true}, {"terms_version", true, ARGUMENT_INTEGER}, \
	{                                                                       \
		"consent_language", true                                            \
	}
#define LOGIN                                                    \
	{"insurer_name", true, .member = "insurerName"},             \
		{"insurer_username", true, .member = "insurerUsername"}, \
		{"insurer_password", .member = "insurerPassword"},       \
	{                                                            \
		"insurer_third_field", .member = "insurerThirdField"     \
	}

/* Enqueue an operation with a body of these arguments, after which comes the server. */
static Datum
enqueue_body(FunctionCallInfo fcinfo, const char *operation, const MemberArgument *arguments)
{
	JsonBuilder body = {0};
	int server = arguments_add(&body, fcinfo, arguments);

	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, server), operation, NULL,
									  builder_finish_object(&body), NULL));
}

/* The same of the pull of the first argument, after what was enqueued for it before. */
static Datum
enqueue_for_pull(FunctionCallInfo fcinfo, const char *operation, const MemberArgument *arguments)
{
	JsonBuilder params = {0};
	JsonBuilder body = {0};
	const char *pull_id = argument_required(fcinfo, 0, "pull_id");
	int server = arguments_add(&body, fcinfo, arguments);

	builder_add_text(&params, "pullId", pull_id);
	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, server), operation,
									  builder_finish_object(&params), builder_finish_object(&body),
									  psprintf("pull %s", pull_id)));
}

/* canopy_consent(device_identifier text, terms_version integer, consent_language text, server name) -> bigint: the job */
static Datum
canopy_summit_consent_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {CONSENT, {NULL}};

	return enqueue_body(fcinfo, "post-consent", arguments);
}

/* canopy_consent_and_connect(device_identifier text, terms_version integer, consent_language text, insurer_name text,
 * insurer_username text, insurer_password text, insurer_third_field text, public_alias text, meta_data jsonb,
 * servicing_actions jsonb, refresh_reason text, server name) -> bigint: the job */
static Datum
canopy_summit_consent_and_connect_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {CONSENT,
											   LOGIN,
											   {"public_alias"},
											   {"meta_data", .type = ARGUMENT_JSON},
											   {"servicing_actions", .type = ARGUMENT_JSON},
											   {"refresh_reason"},
											   {NULL}};

	return enqueue_body(fcinfo, "post-consent-and-connect", arguments);
}

/* canopy_connect(pull_id text, insurer_name text, insurer_username text, insurer_password text,
 * insurer_third_field text, server name) -> bigint: the job */
static Datum
canopy_summit_connect_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {{"pull_id", .type = ARGUMENT_ELSEWHERE},
											   LOGIN,
											   {NULL}};

	return enqueue_for_pull(fcinfo, "post-connect", arguments);
}

/* canopy_choose_mfa_option(pull_id text, option_key text, server name) -> bigint: the job */
static Datum
canopy_summit_choose_mfa_option_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {{"pull_id", .type = ARGUMENT_ELSEWHERE},
											   {"option_key", true, .member = "optionKey"},
											   {NULL}};

	return enqueue_for_pull(fcinfo, "post-idvoptions", arguments);
}

/* canopy_submit_mfa(pull_id text, value text, server name) -> bigint: the job */
static Datum
canopy_summit_submit_mfa_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {{"pull_id", .type = ARGUMENT_ELSEWHERE},
											   {"value", true, .member = "mfaValue"},
											   {NULL}};

	return enqueue_for_pull(fcinfo, "post-idv", arguments);
}

/* canopy_policy_search(device_identifier text, terms_version integer, consent_language text, insurer_name text,
 * search_type text, search_data jsonb, public_alias text, server name) -> bigint: the job */
static Datum
canopy_summit_policy_search_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {CONSENT,
											   {"insurer_name", true, .member = "insurerName"},
											   {"search_type", true, .member = "searchType"},
											   {"search_data", true, ARGUMENT_JSON, "searchData"},
											   {"public_alias"},
											   {NULL}};

	return enqueue_body(fcinfo, "post-policy-search", arguments);
}

/* canopy_exchange_reconnect_token(token text, server name) -> bigint: the job */
static Datum
canopy_summit_exchange_reconnect_token_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {{"token", true, .member = "reconnect_token"},
											   {NULL}};

	return enqueue_body(fcinfo, "post-reconnect-token", arguments);
}
