/*
 * lock.h
 *	  Advisory locks of our own, which users' cannot be in the way of.
 */
#ifndef CANOPY_SUMMIT_ENGINE_LOCK_H
#define CANOPY_SUMMIT_ENGINE_LOCK_H

#include "postgres.h"

#include "utils/array.h"

/* What tells our advisory locks from the users', whose fourth fields are 1 and 2. */
#define ORDERING_LOCKTAG   0xC501
#define EPOCH_LOCKTAG      0xC502
#define UPLOAD_LOCKTAG     0xC503
#define WEBHOOK_LOCKTAG    0xC504
#define SUBJECT_LOCKTAG    0xC505 /* what a webhook is about */
#define PULL_LOCKTAG       0xC506
#define SERVER_LOCKTAG     0xC507 /* keeps its name */
#define GROUP_LOCKTAG(tag) ((tag) | 0x80)

extern uint64 lock_key(const uint8 *digest);
extern uint64 lock_text_key(const char *text);
extern uint64 lock_owner_key(Oid server, Oid owner);
extern void lock_take(uint16 tag, uint64 key);
extern void lock_take_if_few(uint16 tag, uint64 key);
extern void lock_take_of(uint16 tag, uint64 group, uint64 key);
extern void lock_share_subjects(ArrayType *subjects);

#endif /* CANOPY_SUMMIT_ENGINE_LOCK_H */
