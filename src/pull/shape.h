/*
 * shape.h
 *	  Which JSON values are rows of an entity.  Between entity_begin() and the
 *	  end of a pull.
 */
#ifndef CANOPY_SUMMIT_PULL_SHAPE_H
#define CANOPY_SUMMIT_PULL_SHAPE_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "pull/entity.h"

extern bool shape_is_nothing(const JsonbValue *value);
extern bool shape_is_row(Entity entity, JsonbContainer *object);
extern bool shape_is_list(Entity entity, JsonbContainer *object);
extern bool shape_is_rows(const EntityField *field, const JsonbValue *value);
extern JsonbValue *shape_misfits(Entity entity, JsonbContainer *list);

#endif /* CANOPY_SUMMIT_PULL_SHAPE_H */
