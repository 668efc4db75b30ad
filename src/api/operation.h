/*
 * operation.h
 *	  The catalogue of operations: every endpoint of both APIs as data.
 */
#ifndef CANOPY_SUMMIT_API_OPERATION_H
#define CANOPY_SUMMIT_API_OPERATION_H

#include "postgres.h"

#include "server/provider.h"

#define OPERATION_MAX_PARAMS 14

/* What a lost response means (DESIGN: operations and jobs). */
typedef enum OperationClass
{
	OPERATION_SAFE,       /* reads */
	OPERATION_IDEMPOTENT, /* the same effect if repeated */
	OPERATION_KEYED,      /* the server dedupes by Idempotency-Key */
	OPERATION_UNSAFE      /* any other write */
} OperationClass;

typedef enum OperationAuth
{
	OPERATION_AUTH_TEAM,     /* the server's scheme: basic, header pair or app */
	OPERATION_AUTH_PULL_JWT, /* header pull-jwt, a parameter */
	OPERATION_AUTH_NONE,
	OPERATION_AUTH_BEARER,   /* OAuth 2.0 access token */
	OPERATION_AUTH_CLIENT,   /* client credentials in the form, for the token itself */
	OPERATION_AUTH_SIGNATURE /* none but that its handler signs the body */
} OperationAuth;

/* What a success looks like. */
typedef enum OperationEnvelope
{
	ENVELOPE_JSON,
	ENVELOPE_BINARY,   /* the bytes of a file */
	ENVELOPE_REDIRECT, /* 302 to a signed URL of a file */
	ENVELOPE_NONE      /* any 2xx, whatever it says */
} OperationEnvelope;

typedef enum OperationContent
{
	CONTENT_JSON,
	CONTENT_MULTIPART,
	CONTENT_FORM
} OperationContent;

#define OPERATION_BILLABLE    0x01
#define OPERATION_PERSONAL    0x02
#define OPERATION_SECRET      0x04 /* the response has secret fields */
#define OPERATION_DESTRUCTIVE 0x08
#define OPERATION_DEPRECATED  0x10
#define OPERATION_ANSWERS_500 0x20 /* a 500 with a body is an answer */
#define OPERATION_SCHEDULED \
	0x40 /* attempts by a schedule: an outage is one, and holds up no other job */

typedef enum ParamPlace
{
	PARAM_PATH,
	PARAM_QUERY,
	PARAM_HEADER,
	PARAM_BODY,
	PARAM_CONFIRM /* never sent: the caller names what is to be destroyed */
} ParamPlace;

typedef enum ParamType
{
	TYPE_TEXT,
	TYPE_INTEGER,
	TYPE_BOOLEAN,
	TYPE_MOMENT, /* ISO 8601 */
	TYPE_OBJECT,
	TYPE_ARRAY,
	TYPE_FILE,  /* {"content_type": …, "base64": …, "name": …} */
	TYPE_FILES, /* an array of them */
	TYPE_ANY
} ParamType;

typedef struct OperationParam
{
	const char *name;
	ParamPlace place;
	ParamType type;
	bool required;
	const char *values; /* allowed ones, separated by commas; NULL = any */
	bool secret;        /* not kept when its job has come to an end */
} OperationParam;

typedef struct Operation
{
	const char *name; /* operationId */
	Provider provider;
	const char *method;
	const char *path; /* below the base URL; {teamId} comes from the server */
	OperationAuth auth;
	OperationClass class;
	int flags;
	OperationEnvelope envelope;
	OperationContent content; /* of the request */
	const char *unwrap;       /* the field of the answer that matters; NULL = all of it */
	const char *errors;       /* "status CODE CODE; status CODE" as documented */
	const char *reconcile;    /* the operation that shows whether this one took effect */
	const char *scope;        /* that an App needs (guide, section 1.4); NULL = none covers it */
	OperationParam params[OPERATION_MAX_PARAMS];
} Operation;

/* operation_table.c */
extern const Operation operation_table[];
extern const int operation_count;

/* operation.c */
extern const Operation *operation_lookup(const char *name);
extern void operation_check_right(const Operation *operation);
extern const Operation *operation_find(const char *name, Provider provider);
extern bool operation_may_repeat(const Operation *operation);
extern Datum operations_not_repeated(void);
extern bool operation_takes_files(const Operation *operation);
extern Datum operations_with_files(void);
extern const char *param_type_name(ParamType type);

#endif /* CANOPY_SUMMIT_API_OPERATION_H */
