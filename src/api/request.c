/*
 * request.c
 *	  Operation, parameters and body to an HTTP request.
 *
 * Pure: nothing is sent, read or stored.  Every value that a caller supplies is
 * encoded for the place it goes to; a value can not become another segment,
 * parameter or header.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

#include "api/operation.h"
#include "api/request.h"
#include "base/base64.h"
#include "base/coerce.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "base/word_list.h"
#include "http/transfer.h"
#include "http/url.h"
#include "server/connection.h"

#define IGNORED_SIZE 16 /* kB of a response that nobody reads */

static int setting_max_response_size; /* kB */
int setting_max_document_size;        /* kB */

/* The parameter of this name and place; NULL if the operation has none. */
static const OperationParam *
param_find(const Operation *operation, const JsonbValue *key, bool in_body)
{
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
		if ((param->place == PARAM_BODY) == in_body && strlen(param->name) == key->val.string.len &&
			memcmp(param->name, key->val.string.val, key->val.string.len) == 0)
			return param;
	return NULL;
}

/* "a, b (required)": the parameters or body fields of an operation, for hints. */
static char *
param_list(const Operation *operation, bool in_body)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
		if ((param->place == PARAM_BODY) == in_body)
			appendStringInfo(&list, "%s%s%s", list.len > 0 ? ", " : "", param->name,
							 param->required ? " (required)" : "");
	return list.len > 0 ? list.data : "none";
}

/* Raise the error for a parameter that does not do. */
static void
param_refuse(const Operation *operation, const char *name, const char *problem, bool in_body)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" of operation \"%s\" %s", in_body ? "body field" : "parameter",
						   name, operation->name, problem),
					errhint("%s of this operation: %s.", in_body ? "Body fields" : "Parameters",
							param_list(operation, in_body))));
}

/* A whole number, as JSON or as text. */
static bool
is_integer(const JsonbValue *value)
{
	Datum number;
	bool isnull;

	return value->type != jbvBool && value->type != jbvBinary &&
		   coerce_value(COLUMN_BIGINT, unconstify(JsonbValue *, value), &number, &isnull) &&
		   !isnull;
}

static bool
is_boolean(const JsonbValue *value)
{
	return value->type == jbvBool ||
		   (value->type == jbvString &&
			((value->val.string.len == 4 && memcmp(value->val.string.val, "true", 4) == 0) ||
			 (value->val.string.len == 5 && memcmp(value->val.string.val, "false", 5) == 0)));
}

static bool
is_moment(const JsonbValue *value)
{
	Datum moment;
	bool isnull;

	return value->type == jbvString &&
		   coerce_value(COLUMN_TIMESTAMPTZ, unconstify(JsonbValue *, value), &moment, &isnull) &&
		   !isnull;
}

static bool
type_fits(ParamType type, const JsonbValue *value)
{
	switch (type)
	{
		case TYPE_TEXT:
			return value->type == jbvString;
		case TYPE_INTEGER:
			return is_integer(value);
		case TYPE_BOOLEAN:
			return is_boolean(value);
		case TYPE_MOMENT:
			return is_moment(value);
		case TYPE_OBJECT:
		case TYPE_FILE:
			return value_is_object(value);
		case TYPE_ARRAY:
		case TYPE_FILES:
			return value_is_array(value);
		case TYPE_ANY:
			return true;
	}
	return false;
}

/* A scalar as the text that is sent. */
static char *
scalar_to_text(const JsonbValue *value)
{
	Datum datum;
	bool isnull;

	if (!coerce_value(COLUMN_TEXT, unconstify(JsonbValue *, value), &datum, &isnull) || isnull)
		return pstrdup("");
	return TextDatumGetCString(datum);
}

/* Refuse what is unknown, of the wrong type or not an allowed value. */
static void
params_check_given(const Operation *operation, Jsonb *given, bool in_body)
{
	JsonWalk walk = walk_begin(&given->root);

	while (walk_next(&walk))
	{
		const OperationParam *param = param_find(operation, &walk.key, in_body);

		if (param == NULL)
			param_refuse(operation, pnstrdup(walk.key.val.string.val, walk.key.val.string.len),
						 "does not exist", in_body);
		if (walk.value.type == jbvNull)
			continue;
		if (!type_fits(param->type, &walk.value))
			param_refuse(operation, param->name,
						 psprintf("must be of type %s", param_type_name(param->type)), in_body);
		if (param->values != NULL && !word_is_listed(scalar_to_text(&walk.value), param->values))
			param_refuse(operation, param->name, psprintf("must be one of: %s", param->values),
						 in_body);
	}
}

/* The given value of a parameter; NULL if it is missing or JSON null. */
static JsonbValue *
param_value(Jsonb *given, const OperationParam *param)
{
	JsonbValue *value = given == NULL ? NULL : member_value(&given->root, param->name);

	return value == NULL || value->type == jbvNull ? NULL : value;
}

/* Whether workers add a parameter that is not given: the token of a pull, as far as it is known. */
static bool
is_added(const Operation *operation, const OperationParam *param)
{
	return operation->auth == OPERATION_AUTH_PULL_JWT && param->place == PARAM_HEADER;
}

/* Check parameters or body fields as a whole. */
static void
params_check(const Operation *operation, Jsonb *given, bool in_body)
{
	if (given != NULL && !JB_ROOT_IS_OBJECT(given))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s of operation \"%s\" must be a JSON object",
							   in_body ? "body" : "parameters", operation->name)));
	if (given != NULL)
		params_check_given(operation, given, in_body);
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
		if (param->required && (param->place == PARAM_BODY) == in_body &&
			param_value(given, param) == NULL && !is_added(operation, param))
			param_refuse(operation, param->name, "is missing", in_body);
}

/* Append the value of a {parameter} of the path as exactly one segment. */
static void
append_segment(StringInfo out, const Connection *connection, const Operation *operation,
			   Jsonb *params, const char *name)
{
	const char *value = NULL;

	if (strcmp(name, "teamId") == 0)
	{
		value = connection->team_id;
		connection_require(connection, "team_id", value, "…");
	}
	else
		value = scalar_to_text(member_value(&params->root, name));
	if (value[0] == '\0' || strcmp(value, ".") == 0 || strcmp(value, "..") == 0)
		param_refuse(operation, name, "cannot be empty, \".\" or \"..\"", false);
	url_append_encoded(out, value, strlen(value));
}

/* Base URL, path and query. */
static char *
build_url(const Connection *connection, const Operation *operation, Jsonb *params)
{
	StringInfoData url;
	char separator = '?';

	initStringInfo(&url);
	appendStringInfoString(&url, operation->auth == OPERATION_AUTH_CLIENT ? connection->auth_url
																		  : connection->base_url);
	for (const char *c = operation->path; *c; c++)
	{
		if (*c == '{')
		{
			size_t len = strcspn(c, "}");

			append_segment(&url, connection, operation, params, pnstrdup(c + 1, len - 1));
			c += len;
		}
		else
			appendStringInfoChar(&url, *c);
	}
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
	{
		JsonbValue *value = param->place == PARAM_QUERY ? param_value(params, param) : NULL;
		char *text;

		if (value == NULL)
			continue;
		text = scalar_to_text(value);
		appendStringInfo(&url, "%c%s=", separator, param->name);
		url_append_encoded(&url, text, strlen(text));
		separator = '&';
	}
	return url.data;
}

/* Exactly one auth scheme goes into a request (guide, section 1.2: mixed, the API ignores one of them). */
static List *
auth_headers(const Connection *connection, const Operation *operation)
{
	char *pair;

	if (operation->auth == OPERATION_AUTH_BEARER)
		return list_make1(psprintf("Authorization: Bearer %s", connection->access_token));
	if (operation->auth != OPERATION_AUTH_TEAM)
		return NIL;
	if (connection->auth == AUTH_SCHEME_APP)
	{
		if (connection->access_token == NULL)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("server \"%s\" has no access token", connection->server)));
		return list_make1(psprintf("Authorization: Bearer %s", connection->access_token));
	}
	if (connection->auth == AUTH_SCHEME_HEADER_PAIR)
		return list_make2(psprintf("x-canopy-client-id: %s", connection->client_id),
						  psprintf("x-canopy-client-secret: %s", connection->client_secret));
	pair = psprintf("%s:%s", connection->client_id, connection->client_secret);
	return list_make1(psprintf("Authorization: Basic %s", base64_encode(pair, strlen(pair))));
}

/* A text member of a file object. */
static char *
file_member(const Operation *operation, const OperationParam *param, JsonbContainer *file,
			const char *name, const char *fallback)
{
	JsonbValue *value = member_value(file, name);
	char *text = value && value->type == jbvString
					 ? pnstrdup(value->val.string.val, value->val.string.len)
				 : fallback ? pstrdup(fallback)
							: NULL;

	if (text == NULL)
		param_refuse(operation, param->name, "must have members content_type and base64", true);
	for (char *c = text; *c; c++)
		if ((unsigned char) *c < 0x20 || *c == '"' || *c == 0x7f)
			param_refuse(operation, param->name,
						 psprintf("has a control character or quote in its %s", name), true);
	return text;
}

/* Append one part of a multipart form; `file` gives content type and name. */
static void
append_part(StringInfo body, const char *boundary, const char *name, const char *file_name,
			const char *content_type, const char *bytes, int len)
{
	appendStringInfo(body, "--%s\r\nContent-Disposition: form-data; name=\"%s\"", boundary, name);
	if (file_name != NULL)
		appendStringInfo(body, "; filename=\"%s\"\r\nContent-Type: %s", file_name, content_type);
	appendStringInfoString(body, "\r\n\r\n");
	appendBinaryStringInfo(body, bytes, len);
	appendStringInfoString(body, "\r\n");
}

/* The file beside the body that a file object names; NULL if it names none. */
static const RequestFile *
file_beside(const Operation *operation, const OperationParam *param, JsonbContainer *file,
			List *files)
{
	JsonbValue *number = member_value(file, "file");
	ListCell *cell;

	if (number == NULL)
		return NULL;
	foreach(cell, files)
		if (strcmp(scalar_to_text(number),
				   psprintf("%d", ((const RequestFile *) lfirst(cell))->number)) == 0)
			return lfirst(cell);
	param_refuse(operation, param->name, "names a file that is not there", true);
	return NULL;
}

static void
append_file(StringInfo body, const char *boundary, const Operation *operation,
			const OperationParam *param, JsonbContainer *file, List *files)
{
	const RequestFile *beside = file_beside(operation, param, file, files);
	char *base64;
	char *bytes;
	int len;

	if (beside != NULL)
	{
		append_part(body, boundary, param->name, beside->name, beside->media_type, beside->bytes,
					beside->len);
		return;
	}
	base64 = file_member(operation, param, file, "base64", NULL);
	if (!base64_decode(base64, strlen(base64), &bytes, &len))
		param_refuse(operation, param->name, "must have valid base64", true);
	append_part(body, boundary, param->name,
				file_member(operation, param, file, "name", param->name),
				file_member(operation, param, file, "content_type", NULL), bytes, len);
}

/* Append every file of an array. */
static void
append_files(StringInfo body, const char *boundary, const Operation *operation,
			 const OperationParam *param, JsonbContainer *objects, List *files)
{
	JsonWalk walk = walk_begin(objects);

	while (walk_next(&walk))
	{
		if (!type_fits(TYPE_FILE, &walk.value))
			param_refuse(operation, param->name, "must be an array of files", true);
		append_file(body, boundary, operation, param, walk.value.val.binary.data, files);
	}
}

/* An object as parts name[key], the deepObject style of OpenAPI. */
static void
append_object(StringInfo body, const char *boundary, const OperationParam *param,
			  JsonbContainer *object)
{
	JsonWalk walk = walk_begin(object);
	JsonbValue *value = &walk.value;
	StringInfoData name;

	initStringInfo(&name);
	while (walk_next(&walk))
	{
		char *text;

		resetStringInfo(&name);
		appendStringInfo(&name, "%s[", param->name);
		url_append_encoded(&name, walk.key.val.string.val, walk.key.val.string.len);
		appendStringInfoChar(&name, ']');
		text = value->type == jbvBinary
				   ? JsonbToCString(NULL, value->val.binary.data, value->val.binary.len)
				   : scalar_to_text(value);
		append_part(body, boundary, name.data, NULL, NULL, text, strlen(text));
	}
}

/* The body as multipart/form-data; returns its content type. */
static char *
build_multipart(StringInfo out, const Operation *operation, Jsonb *body, List *files)
{
	uint8 random[16];
	StringInfoData boundary;

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random bytes")));
	initStringInfo(&boundary);
	for (int i = 0; i < sizeof(random); i++)
		appendStringInfo(&boundary, "%02x", random[i]);
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
	{
		JsonbValue *value = param->place == PARAM_BODY ? param_value(body, param) : NULL;

		if (value == NULL)
			continue;
		if (param->type == TYPE_FILE)
			append_file(out, boundary.data, operation, param, value->val.binary.data, files);
		else if (param->type == TYPE_FILES)
			append_files(out, boundary.data, operation, param, value->val.binary.data, files);
		else if (param->type == TYPE_OBJECT)
			append_object(out, boundary.data, param, value->val.binary.data);
		else
		{
			char *text = scalar_to_text(value);

			append_part(out, boundary.data, param->name, NULL, NULL, text, strlen(text));
		}
	}
	appendStringInfo(out, "--%s--\r\n", boundary.data);
	return psprintf("multipart/form-data; boundary=%s", boundary.data);
}

static void
append_form_field(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, "%s%s=", out->len > 0 ? "&" : "", name);
	url_append_encoded(out, value, strlen(value));
}

/* The body as application/x-www-form-urlencoded, with the client's credentials. */
static void
build_form(StringInfo out, const Connection *connection, const Operation *operation, Jsonb *body)
{
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
	{
		JsonbValue *value = param->place == PARAM_BODY ? param_value(body, param) : NULL;

		if (value != NULL)
			append_form_field(out, param->name, scalar_to_text(value));
	}
	if (operation->auth == OPERATION_AUTH_CLIENT)
	{
		append_form_field(out, "client_id", connection->client_id);
		append_form_field(out, "client_secret", connection->client_secret);
	}
}

/* Put the body into the request in the form the operation wants. */
static void
request_set_body(HttpRequest *request, const Connection *connection, const Operation *operation,
				 Jsonb *body, List *files)
{
	StringInfoData out;
	const char *content_type = "application/json";

	if (body == NULL)
		return;
	initStringInfo(&out);
	if (operation->content == CONTENT_MULTIPART)
		content_type = build_multipart(&out, operation, body, files);
	else if (operation->content == CONTENT_FORM)
	{
		build_form(&out, connection, operation, body);
		content_type = "application/x-www-form-urlencoded";
	}
	else
		(void) JsonbToCString(&out, &body->root, VARSIZE(body));
	request->body = out.data;
	request->body_len = out.len;
	request->headers = lappend(request->headers, psprintf("Content-Type: %s", content_type));
}

/*
 * Refuse parameters and body fields that are missing, unknown, of the wrong
 * type or not an allowed value.  Error: 22023.
 */
void
request_check(const Operation *operation, Jsonb *params, Jsonb *body)
{
	params_check(operation, params, false);
	params_check(operation, body, true);
}

/*
 * Refuse an operation that the scopes of an App's token do not cover.  Errors: 0A000 no
 * scope does, 42501 it is not among those that were granted.
 */
void
request_check_scope(const Connection *connection, const Operation *operation)
{
	if (connection->auth != AUTH_SCHEME_APP || operation->auth != OPERATION_AUTH_TEAM)
		return;
	if (operation->scope == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("no scope of an App covers operation \"%s\"", operation->name),
						errhint("Call it at a server with option auth 'basic'.")));
	if (connection->granted == NULL || !word_is_listed(operation->scope, connection->granted))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("scope %s was not granted, which operation \"%s\" needs",
							   operation->scope, operation->name),
						errhint("Ask for it by canopy_authorize_url().")));
}

/* Parameters with argument `confirm` of a function among them, unless it is NULL. */
Jsonb *
request_confirm(Jsonb *params, const char *confirm)
{
	JsonBuilder builder = {0};

	if (confirm == NULL)
		return params;
	builder_add_text(&builder, "confirm", confirm);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(params),
											  JsonbPGetDatum(builder_finish_object(&builder))));
}

/* A destructive operation wants the id of what it destroys a second time, as "confirm".  Error: 22023. */
void
request_check_confirmation(const Connection *connection, const Operation *operation, Jsonb *params)
{
	const char *doomed = connection->team_id;
	const char *confirmed = json_text_field(params, "confirm");

	if ((operation->flags & OPERATION_DESTRUCTIVE) == 0)
		return;
	if (operation->params[0].place == PARAM_PATH)
		doomed = json_text_field(params, operation->params[0].name);
	if (confirmed == NULL || doomed == NULL || strcmp(confirmed, doomed) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("operation \"%s\" is destructive and not confirmed", operation->name),
				 errhint("Pass the id of what is to be destroyed as \"confirm\", too.")));
}

/*
 * The request for an operation, in the current memory context, of a body with `files`
 * beside it, a List of RequestFile *, which it copies.  Errors, all 22023: a parameter or body field is missing, unknown, of the wrong type or
 * not an allowed value; the server has no team_id.
 */
HttpRequest *
request_build(const Connection *connection, const Operation *operation, Jsonb *params, Jsonb *body,
			  List *files)
{
	HttpRequest *request = palloc0(sizeof(HttpRequest));
	bool is_file = operation->envelope == ENVELOPE_BINARY;
	bool is_ignored = operation->envelope == ENVELOPE_NONE;

	request_check(operation, params, body);
	request->method = operation->method;
	request->url = build_url(connection, operation, params);
	request->headers = list_make1(is_file      ? "Accept: application/pdf, application/json"
								  : is_ignored ? "Accept: */*"
											   : "Accept: application/json");
	request->headers = list_concat(request->headers, auth_headers(connection, operation));
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
	{
		JsonbValue *value = param->place == PARAM_HEADER ? param_value(params, param) : NULL;

		if (value != NULL)
			request->headers =
				lappend(request->headers, psprintf("%s: %s", param->name, scalar_to_text(value)));
	}
	request_set_body(request, connection, operation, body, files);
	request->ca_file = connection->ca_file;
	request->allow_private_addresses = connection->allow_private_addresses;
	request->connect_timeout = connection->connect_timeout;
	request->timeout = connection->timeout;
	request->once = !operation_may_repeat(operation) && operation->auth != OPERATION_AUTH_CLIENT;
	request->max_size = (size_t) (is_file      ? setting_max_document_size
								  : is_ignored ? IGNORED_SIZE
											   : setting_max_response_size) *
						1024;
	return request;
}

/* How much is read, and sent. */
void
request_settings(void)
{
	DefineCustomIntVariable("canopy_summit.max_response_size",
							"Largest response that is read, after decompression.", NULL,
							&setting_max_response_size, 16 * 1024, 1, 255 * 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.max_document_size",
							"Largest document that is downloaded or uploaded.", NULL,
							&setting_max_document_size, 64 * 1024, 1, 180 * 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
}
