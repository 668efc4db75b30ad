/*
 * coerce.h
 *	  A JSON value as a value of a column.
 */
#ifndef CANOPY_SUMMIT_BASE_COERCE_H
#define CANOPY_SUMMIT_BASE_COERCE_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef enum ColumnKind
{
	COLUMN_UNSUPPORTED,
	COLUMN_TEXT,
	COLUMN_TEXT_ARRAY,
	COLUMN_BOOLEAN,
	COLUMN_INTEGER,
	COLUMN_BIGINT,
	COLUMN_CENTS, /* a bigint that its numeric(14,2) twin can hold */
	COLUMN_NUMERIC,
	COLUMN_DOUBLE,
	COLUMN_DATE,
	COLUMN_TIMESTAMPTZ,
	COLUMN_JSONB
} ColumnKind;

extern void text_trim(const char **bytes, int *len);
extern ColumnKind coerce_kind(Oid type, const char *column);
extern bool coerce_value(ColumnKind kind, JsonbValue *value, Datum *result, bool *isnull);

#endif /* CANOPY_SUMMIT_BASE_COERCE_H */
