/*
 * field.h
 *	  Checks of single values of Summit's JSON.
 *
 * Paths are those of Summit's error model, such as policy.expiry_date.  Every
 * error is 22023 and names the path.
 */
#ifndef CANOPY_SUMMIT_SUMMIT_FIELD_H
#define CANOPY_SUMMIT_SUMMIT_FIELD_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/date.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "privacy/minimize.h"

#define FIELD_TEXT_MAX 4000 /* bytes; Summit documents no limit, and no real text is near it */

pg_noreturn extern void
field_refuse(const char *path, const char *problem, const char *detail, const char *hint);
pg_noreturn extern void field_refuse_finding(const char *path, const MinimizeFinding *finding);

extern const char *field_path(const char *path, const char *name);
extern JsonbValue field_trim(const JsonbValue *value);
extern JsonbValue field_text(List *rules, const char *path, const JsonbValue *value);
extern JsonbValue field_word(const char *const *words, const char *path, const JsonbValue *value);
extern DateADT field_date(const char *path, const JsonbValue *value);
extern void field_check_amount(const char *path, const JsonbValue *value);
extern JsonbValue field_days(const char *path, const JsonbValue *value);

#endif /* CANOPY_SUMMIT_SUMMIT_FIELD_H */
