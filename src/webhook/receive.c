/*
 * receive.c
 *	  The SQL functions that take webhooks.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/confidential.h"
#include "base/json.h"
#include "engine/engine.h"
#include "engine/values.h"
#include "server/connection.h"
#include "webhook/inbox.h"
#include "webhook/inbox_store.h"

CONFIDENTIAL_FUNCTION(canopy_summit_receive_webhook);
CONFIDENTIAL_FUNCTION(canopy_summit_verify_webhook);
CONFIDENTIAL_FUNCTION(canopy_summit_webhook_payload);

/* Store one delivery in the transaction of whoever calls. */
static void
inbox_store_one(Delivery *delivery)
{
	Engine engine;

	engine_enter(&engine);
	inbox_store(&delivery, 1);
	engine_end(&engine);
}

/* verify_webhook(server name, headers jsonb, body bytea) -> boolean */
static Datum
canopy_summit_verify_webhook_confidential(PG_FUNCTION_ARGS)
{
	Delivery delivery;
	WebhookSource *source;
	bytea *body;

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_BOOL(false);
	source = connection_webhook(NameStr(*PG_GETARG_NAME(0)));
	body = PG_GETARG_BYTEA_PP(2);
	delivery_begin(&delivery, source->server, PG_GETARG_JSONB_P(1), VARDATA_ANY(body),
				   VARSIZE_ANY_EXHDR(body));
	PG_RETURN_BOOL(delivery_verify(&delivery, source) == NULL);
}

/* The row that receive_webhook() returns, made once a process. */
static TupleDesc
answer_descriptor(FunctionCallInfo fcinfo)
{
	static TupleDesc answer = NULL;
	TupleDesc descriptor;
	MemoryContext context;

	if (answer != NULL)
		return answer;
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "receive_webhook() must return a row");
	context = MemoryContextSwitchTo(TopMemoryContext);
	answer = BlessTupleDesc(CreateTupleDescCopy(descriptor));
	MemoryContextSwitchTo(context);
	return answer;
}

/* receive_webhook(server name, headers jsonb, body bytea) -> (http_status int, outcome text, webhook_id bigint) */
static Datum
canopy_summit_receive_webhook_confidential(PG_FUNCTION_ARGS)
{
	Delivery delivery = {.outcome = INBOX_BAD_SIGNATURE};
	Values values = {0};

	if (PG_ARGISNULL(0) || !OidIsValid(get_foreign_server_oid(NameStr(*PG_GETARG_NAME(0)), true)))
		delivery.outcome = INBOX_NO_SERVER;
	else if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		delivery.server = NameStr(*PG_GETARG_NAME(0));
	else
	{
		WebhookSource *source = connection_webhook(NameStr(*PG_GETARG_NAME(0)));
		bytea *body = PG_GETARG_BYTEA_PP(2);

		delivery_begin(&delivery, source->server, PG_GETARG_JSONB_P(1), VARDATA_ANY(body),
					   VARSIZE_ANY_EXHDR(body));
		inbox_check(&delivery, source);
	}
	if (delivery.outcome == INBOX_STORED)
		inbox_store_one(&delivery);
	else
		inbox_count_refusal(delivery.server, delivery.outcome);
	values_add_int32(&values, inbox_http_status(delivery.outcome));
	values_add_text(&values, inbox_outcome_name(delivery.outcome));
	values_add_unless(&values, delivery.webhook_id == 0, Int64GetDatum(delivery.webhook_id));
	PG_RETURN_DATUM(
		HeapTupleGetDatum(heap_form_tuple(answer_descriptor(fcinfo), values.values, values.nulls)));
}

/* canopy_summit.webhook_payload(body bytea) -> jsonb, NULL if it is not JSON */
static Datum
canopy_summit_webhook_payload_confidential(PG_FUNCTION_ARGS)
{
	bytea *body = PG_GETARG_BYTEA_PP(0);
	const char *problem;
	Jsonb *json = json_read(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), NULL, &problem);

	if (json == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(json);
}
