/*
 * send.h
 *	  What a worker has on the wire, and who is told when it lands.
 */
#ifndef CANOPY_SUMMIT_WORKER_SEND_H
#define CANOPY_SUMMIT_WORKER_SEND_H

#include "postgres.h"

#include "http/loop.h"
#include "http/transfer.h"
#include "worker/lane.h"
#include "worker/worker.h"

/* The first member of whatever is sent. */
typedef struct Sending
{
	HttpTransfer *transfer; /* NULL = not sent */
	void (*landed)(Worker *worker, struct Sending *sending);
} Sending;

extern void send_start(Worker *worker, Sending *sending, HttpRequest *request, HttpPool **pool,
					   const Lane *lane);
extern void send_collect(Worker *worker);

#endif /* CANOPY_SUMMIT_WORKER_SEND_H */
