/*
 * inbox_trigger.c
 *	  A webhook that is inserted: the same as one that is received.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/confidential.h"
#include "engine/engine.h"
#include "engine/instance.h"
#include "engine/new_row.h"
#include "engine/statement.h"
#include "server/connection.h"
#include "webhook/envelope.h"
#include "webhook/inbox.h"
#include "webhook/inbox_store.h"

CONFIDENTIAL_FUNCTION(canopy_summit_webhook_fill);

/* Store a delivery as the row that is being inserted; false if it is known. */
static bool
inbox_fill(const Delivery *delivery, NewRow *row)
{
	const Envelope *envelope = &delivery->envelope;

	if (delivery->outcome == INBOX_DUPLICATE)
		return false;
	new_row_put(row, "webhook_id", Int64GetDatum(delivery->webhook_id));
	new_row_put(row, "headers", JsonbPGetDatum(delivery->headers));
	new_row_put(row, "received_at", TimestampTzGetDatum(delivery->received_at));
	new_row_put(row, "signed_at", TimestampTzGetDatum(delivery->signed_at));
	new_row_put_text(row, "event", envelope->event);
	new_row_put_text(row, "subject", envelope->subject);
	new_row_put_text(row, "delivery_key", envelope->delivery_key);
	new_row_put(row, "content_hash", bytes_datum(envelope->hash, sizeof(envelope->hash)));
	new_row_put(row, "identity", Int64GetDatum(delivery->identity));
	new_row_put_text(row, "state", inbox_outcome_name(delivery->outcome));
	new_row_put_text(row, "problem", envelope->problem);
	new_row_put(row, "server_oid", ObjectIdGetDatum(delivery->server_oid));
	new_row_put(row, "instance", Int64GetDatum(instance_current()));
	return true;
}

/*
 * Trigger of canopy_summit.webhook: the same as receive_webhook() for a row
 * that app code inserts.  A row that comes with its key is a restored one.
 * Errors: 28000 the signature, 54000 the size, 0A000 an encoding, 55000 no secret.
 */
static Datum
canopy_summit_webhook_fill_confidential(PG_FUNCTION_ARGS)
{
	static const int sqlstates[] = {[INBOX_BAD_SIGNATURE] =
										ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
									[INBOX_TOO_LARGE] = ERRCODE_PROGRAM_LIMIT_EXCEEDED,
									[INBOX_ENCODED] = ERRCODE_FEATURE_NOT_SUPPORTED,
									[INBOX_NO_SECRET] = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE};
	Delivery delivery;
	Engine engine;
	NewRow row;
	bytea *body;

	new_row_begin(&row, fcinfo, "webhook_fill");
	if (!new_row_is_null(&row, "webhook_id"))
		return PointerGetDatum(((TriggerData *) fcinfo->context)->tg_trigtuple);
	if (new_row_is_null(&row, "body"))
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("body of a webhook cannot be NULL")));
	body = DatumGetByteaPP(row.values[new_row_column(&row, "body")]);
	delivery_begin(&delivery, new_row_required_text(&row, "server"), new_row_json(&row, "headers"),
				   VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
	inbox_check(&delivery, connection_webhook(delivery.server));
	if (delivery.outcome != INBOX_STORED)
	{
		inbox_count_refusal(delivery.server, delivery.outcome);
		ereport(ERROR, (errcode(sqlstates[delivery.outcome]),
						errmsg("webhook was refused: %s", delivery.problem)));
	}
	engine_enter(&engine);
	(void) inbox_take(&delivery);
	engine_end(&engine);
	return inbox_fill(&delivery, &row) ? new_row_tuple(&row) : PointerGetDatum(NULL);
}
