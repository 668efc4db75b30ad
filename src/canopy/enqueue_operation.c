/*
 * enqueue_operation.c
 *	  The job that a function of this API enqueues, as its caller.
 */
#include "postgres.h"

#include "base/jsonb_build.h"
#include "canopy/enqueue_operation.h"
#include "engine/values.h"
#include "job/enqueue_as_caller.h"
#include "server/connection.h"
#include "server/provider.h"

/*
 * Enqueue an operation at a server, NULL = that of the setting; returns the job's key.
 * What is NULL of the rest is not there.  Errors: those of connection_open() and of the
 * job table's trigger.
 */
int64
enqueue_operation(const char *server, const char *operation, Jsonb *params, Jsonb *body,
				  const char *ordering_key)
{
	Connection *connection = connection_open(server, PROVIDER_CANOPY);
	JsonBuilder none = {0};
	Values values = {0};

	values_add_text(&values, connection->server);
	values_add_text(&values, operation);
	values_add_json(&values, params ? params : builder_finish_object(&none));
	values_add_json(&values, body);
	values_add_unless(&values, true, (Datum) 0);
	values_add_unless(&values, true, (Datum) 0);
	values_add_text(&values, ordering_key);
	return enqueue_as_caller(&values);
}
