/*
 * entity_batch.h
 *	  Rows of entities on their way to the tables.
 *
 * The caller is inside engine_begin(), and holds the locks of the pulls until the
 * transaction ends.  `keys` are the key of a pull: server and pull_id as text.
 */
#ifndef CANOPY_SUMMIT_PULL_ENTITY_BATCH_H
#define CANOPY_SUMMIT_PULL_ENTITY_BATCH_H

#include "postgres.h"

#include "pull/entity.h"

typedef struct EntityBatch EntityBatch;

extern EntityBatch *entity_batch_begin(void);
extern MemoryContext entity_batch_prepare(EntityBatch *batch, Datum *keys);
extern void entity_batch_add(EntityBatch *batch, Datum *keys, EntityRows *rows, bool replace);
extern void entity_batch_show(EntityBatch *batch, Datum *keys, bool is_current);
extern void entity_batch_end(EntityBatch *batch);

#endif /* CANOPY_SUMMIT_PULL_ENTITY_BATCH_H */
