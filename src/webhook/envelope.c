/*
 * envelope.c
 *	  What a webhook's body says of itself: which event, about what, and which
 *	  delivery.
 *
 * Canopy's envelope has neither an id nor a time; Summit's has a delivery_id,
 * and an attempt that rises from one delivery of it to the next.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/digest.h"
#include "base/json.h"
#include "base/jsonb_get.h"
#include "server/provider.h"
#include "webhook/envelope.h"

/* A member that names something; NULL if it is missing, empty, not a string, or too long to be a name. */
static const char *
member_name(JsonbContainer *object, const char *name)
{
	const char *text = member_text(object, name);

	return text != NULL && strlen(text) <= ENVELOPE_NAME_MAX ? text : NULL;
}

static void
canopy_read(Jsonb *json, Envelope *envelope)
{
	envelope->event = member_name(&json->root, "event_type");
	envelope->subject = member_name(&json->root, "pull_id");
	if (envelope->event == NULL)
		envelope->problem = "the body names no event_type";
}

static void
summit_read(Jsonb *json, Envelope *envelope)
{
	JsonbContainer *data = member_object(&json->root, "data");

	envelope->event = member_name(&json->root, "event");
	envelope->delivery_key = member_name(&json->root, "delivery_id");
	envelope->subject = member_name(member_object(data, "policy"), "policy_number");
	if (envelope->event == NULL)
		envelope->problem = "the body names no event";
	else if (envelope->delivery_key == NULL)
		envelope->problem = "the body has no delivery_id";
}

/* The digest of a Summit body but for its attempt: of jsonb's bytes, in which no number is written out. */
static void
summit_hash(Jsonb *json, uint8 *hash)
{
	Datum rest = DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(json),
									 PointerGetDatum(cstring_to_text("attempt")));
	Jsonb *once = DatumGetJsonbP(rest);

	digest_bytes(VARDATA(once), VARSIZE(once) - VARHDRSZ, hash);
}

/* Read a body whose JSON and everything made of it is to be forgotten. */
static void
body_read(Provider provider, const char *body, size_t len, Envelope *envelope)
{
	const char *problem;
	Jsonb *json = json_read(body, len, NULL, &problem);

	if (json == NULL || !JB_ROOT_IS_OBJECT(json))
		envelope->problem =
			json == NULL ? psprintf("the body is %s", problem) : "the body is no JSON object";
	else if (provider == PROVIDER_CANOPY)
		canopy_read(json, envelope);
	else
	{
		summit_read(json, envelope);
		if (envelope->delivery_key != NULL)
			summit_hash(json, envelope->hash);
	}
}

static const char *
copy_or_null(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

/* Read a body, in the current memory context; what stays there is what the envelope says. */
void
envelope_read(Provider provider, const char *body, size_t len, Envelope *envelope)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "canopy_summit envelope",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);

	*envelope = (Envelope){0};
	digest_bytes(body, len, envelope->hash);
	body_read(provider, body, len, envelope);
	MemoryContextSwitchTo(old);
	envelope->event = copy_or_null(envelope->event);
	envelope->subject = copy_or_null(envelope->subject);
	envelope->delivery_key = copy_or_null(envelope->delivery_key);
	envelope->problem = copy_or_null(envelope->problem);
	MemoryContextDelete(scratch);
}
