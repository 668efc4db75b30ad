/*
 * intake.h
 *	  What the receiver does with complete requests: verify, store, answer.
 */
#ifndef CANOPY_SUMMIT_RECEIVER_INTAKE_H
#define CANOPY_SUMMIT_RECEIVER_INTAKE_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "receiver/listener.h"
#include "webhook/inbox.h"

typedef struct Intake
{
	MemoryContext turn; /* reset by the caller every turn */
	const char
		*problem; /* why nothing can be stored: no extension, or another version; NULL = it can */
	TimestampTz check_at; /* look then whether that has changed */
	int64 stored;         /* webhooks since it began */
	char failure[200];    /* why the last attempts to store have failed; empty = they have not */
	TimestampTz failed_at;
	size_t failed_len; /* bytes of a body that could not be stored */
	bool is_news;      /* something of this is not shown to others yet */
} Intake;

/* A request on its way to its answer. */
typedef struct Exchange
{
	Arrival *arrival;
	HttpAnswer answer;
	bool is_storable; /* the answer is what comes of storing the delivery */
	Delivery delivery;
} Exchange;

extern void intake_begin(Intake *intake);
extern void intake_check(Intake *intake);
extern void intake_look(Intake *intake);
extern const char *intake_problem(const Intake *intake);
extern void intake_forget_sources(void);
extern void intake_register(void);
extern bool intake_serve(Intake *intake, Listener *listener);

#endif /* CANOPY_SUMMIT_RECEIVER_INTAKE_H */
