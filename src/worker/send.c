/*
 * send.c
 *	  What a worker has on the wire, and who is told when it lands.
 *
 * Requests of one pool share connections: those with one credential, or those to signed
 * URLs, which have none.
 */
#include "postgres.h"

#include "http/loop.h"
#include "http/transfer.h"
#include "worker/lane.h"
#include "worker/send.h"
#include "worker/worker.h"

/*
 * Start a transfer, in the current memory context, which has to live as long, in a
 * pool, which is made if there is none.  Errors: those of http_start().
 */
void
send_start(Worker *worker, Sending *sending, HttpRequest *request, HttpPool **pool,
		   const Lane *lane)
{
	if (*pool == NULL)
		*pool = loop_pool(worker->loop, Max(lane->max_connections, 1));
	request->tag = sending;
	sending->transfer = http_start(request);
	loop_add(*pool, sending->transfer);
}

/* Take the transfers that have ended. */
void
send_collect(Worker *worker)
{
	HttpTransfer *transfer;

	while ((transfer = loop_next_finished(worker->loop)) != NULL)
	{
		Sending *sending = http_transfer_tag(transfer);

		sending->landed(worker, sending);
	}
}
