/*
 * certificate.c
 *	  Summit's payload: checked field by field, and made canonical.
 *
 * The tables below are the shape; their order is the document order in which
 * the first problem is reported; at each object what does not belong there
 * comes before what does.
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/request.h"
#include "base/base64.h"
#include "base/confidential.h"
#include "base/digest.h"
#include "base/file_type.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "engine/values.h"
#include "http/url.h"
#include "privacy/minimize.h"
#include "summit/certificate.h"
#include "summit/field.h"

CONFIDENTIAL_FUNCTION(canopy_summit_check_certificate);

typedef enum FieldType
{
	FIELD_TEXT, /* free text, subject to data minimization */
	FIELD_WORD, /* one of `words` */
	FIELD_DATE,
	FIELD_AMOUNT,
	FIELD_DAYS,
	FIELD_BOOLEAN,
	FIELD_OBJECT,
	FIELD_DOCUMENT
} FieldType;

typedef struct Reader
{
	Certificate *certificate;
	List *rules;
	JsonBuilder builder; /* the body, as far as it is made */
	bytea *coi;          /* becomes documents.coi_pdf; NULL = none */
	const char *coi_content_type;
} Reader;

typedef struct Field
{
	const char *name;
	FieldType type;
	bool required;
	bool is_array;                                   /* of values of this type */
	bool holds_coi;                                  /* the argument coi goes here, or below */
	size_t result;                                   /* its place in Certificate; 0 = none */
	const char *const *words;                        /* of a word */
	const struct Field *fields;                      /* of an object */
	void (*check)(Reader *reader, const char *path); /* with what was read before; may be NULL */
	const char *warning;                             /* if it is missing; NULL = nothing to say */
} Field;

#define RESULT(member) .result = offsetof(Certificate, member)

static void check_expiry(Reader *reader, const char *path);
static void check_address(Reader *reader, const char *path);

static const char *const policy_types[] = {"CGL", "Property", "E&O", "D&O", "Cyber", NULL};

static const Field limits_fields[] = {
	{"per_occurrence", FIELD_AMOUNT},
	{"aggregate", FIELD_AMOUNT},
	{NULL},
};

static const Field broker_fields[] = {
	{"name", FIELD_TEXT},
	{"phone", FIELD_TEXT},
	{"email", FIELD_TEXT},
	{NULL},
};

static const Field policy_fields[] = {
	{"policy_number", FIELD_TEXT, .required = true, RESULT(policy_number)},
	{"insurer_name", FIELD_TEXT, .required = true, RESULT(insurer_name)},
	{"policy_type", FIELD_WORD, .required = true, RESULT(policy_type), .words = policy_types},
	{"effective_date", FIELD_DATE, .required = true, RESULT(effective_date)},
	{"expiry_date", FIELD_DATE, .required = true, RESULT(expiry_date), .check = check_expiry},
	{"limits", FIELD_OBJECT, .fields = limits_fields},
	{"cancellation_notice_days", FIELD_DAYS},
	{"endorsements", FIELD_TEXT, .is_array = true},
	{"broker", FIELD_OBJECT, .fields = broker_fields},
	{NULL},
};

static const Field reference_ids_fields[] = {
	{"property_id", FIELD_TEXT, .required = true, RESULT(property_id)},
	{"unit_id", FIELD_TEXT, RESULT(unit_id),
	 .warning = "is missing; without it the certificate is not routed to a unit"},
	{"lease_id", FIELD_TEXT, RESULT(lease_id),
	 .warning = "is missing; without it the certificate is not routed to a lease"},
	{"tenant_id", FIELD_TEXT, RESULT(tenant_id),
	 .warning = "is missing; without it the certificate is not routed to a tenant"},
	{NULL},
};

static const Field holder_fields[] = {
	{"name", FIELD_TEXT, .required = true, RESULT(holder_name)},
	{"address", FIELD_TEXT, RESULT(holder_address), .check = check_address},
	{"email", FIELD_TEXT},
	{"contact_phone", FIELD_TEXT},
	{"additional_insured", FIELD_BOOLEAN, .required = true},
	{"waiver_of_subrogation", FIELD_BOOLEAN, .required = true},
	{"reference_ids", FIELD_OBJECT, .required = true, .fields = reference_ids_fields},
	{NULL},
};

/* How these are read is in read_document(). */
static const Field document_fields[] = {
	{"content_type", FIELD_TEXT},
	{"base64", FIELD_TEXT},
	{"url", FIELD_TEXT},
	{NULL},
};

static const Field documents_fields[] = {
	{"coi_pdf", FIELD_DOCUMENT, .holds_coi = true, .fields = document_fields},
	{"endorsements", FIELD_DOCUMENT, .is_array = true, .fields = document_fields},
	{NULL},
};

static const Field certificate_fields[] = {
	{"policy", FIELD_OBJECT, .required = true, .fields = policy_fields},
	{"certificate_holder", FIELD_OBJECT, .required = true, .fields = holder_fields},
	{"documents", FIELD_OBJECT, .holds_coi = true, .fields = documents_fields},
	{NULL},
};

static void
read_fields(Reader *reader, const Field *fields, const char *path, JsonbContainer *object);

/* Whether nothing is given: null, a blank text, an empty array, an object of nothing else. */
static bool
is_missing(const Field *field, const JsonbValue *value)
{
	int known = 0;

	if (value == NULL || value->type == jbvNull)
		return true;
	if (value->type == jbvString)
		return field_trim(value).val.string.len == 0;
	if (field->is_array)
		return value_is_array(value) && JsonContainerSize(value->val.binary.data) == 0;
	if (field->fields == NULL || !value_is_object(value))
		return false;
	for (const Field *child = field->fields; child->name != NULL; child++)
	{
		JsonbValue *member = member_value(value->val.binary.data, child->name);

		if (!is_missing(child, member))
			return false;
		known += member != NULL;
	}
	return known == JsonContainerSize(value->val.binary.data);
}

/* Whether a key can be named in a message: a word, and not a number in disguise. */
static bool
key_is_plain(const char *key)
{
	int digits = 0;

	for (const char *c = key; *c != '\0'; c++)
	{
		if (!isalnum((unsigned char) *c) && *c != '_' && *c != '-')
			return false;
		digits += isdigit((unsigned char) *c) != 0;
	}
	return strlen(key) <= 40 && digits <= 4;
}

/* "a, b": the fields of an object, for hints. */
static char *
field_list(const Field *fields)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const Field *field = fields; field->name != NULL; field++)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", field->name);
	return list.data;
}

/* Refuse a key that a rule forbids or that Summit does not know. */
static void
check_key(Reader *reader, const Field *fields, const char *path, const JsonbValue *value)
{
	const char *key = pnstrdup(value->val.string.val, value->val.string.len);
	const char *key_path = field_path(path, key);
	MinimizeFinding finding;
	bool known = false;

	for (const Field *field = fields; field->name != NULL; field++)
		known |= strcmp(field->name, key) == 0;
	if (value->val.string.len <= FIELD_TEXT_MAX &&
		minimize_key(reader->rules, key_path, key, value->val.string.len, known, &finding))
		field_refuse_finding(key_is_plain(key) ? key_path : field_path(path, "(a key)"), &finding);
	if (!known)
		field_refuse(key_is_plain(key) ? key_path : field_path(path, "(a key)"),
					 "is not a field that Summit knows", NULL,
					 psprintf("Fields here are: %s.", field_list(fields)));
}

static void
check_keys(Reader *reader, const Field *fields, const char *path, JsonbContainer *object)
{
	JsonWalk walk = walk_begin(object);

	while (walk_next(&walk))
		check_key(reader, fields, path, &walk.key);
}

static void
check_expiry(Reader *reader, const char *path)
{
	if (reader->certificate->expiry_date <= reader->certificate->effective_date)
		field_refuse(path, "must be after effective_date", NULL, NULL);
}

/* Add something that Summit takes and that should be better. */
static void
add_warning(Reader *reader, const char *path, const char *text)
{
	CertificateWarning *warning = palloc(sizeof(CertificateWarning));

	warning->field = path;
	warning->text = text;
	reader->certificate->warnings = lappend(reader->certificate->warnings, warning);
}

#define IS_DIGIT(c)  ((c) >= '0' && (c) <= '9')
#define IS_LETTER(c) (((c) >= 'A' && (c) <= 'Z') || ((c) >= 'a' && (c) <= 'z'))

/* Whether a postal code of Quebec begins here, such as H2X 1Y4, and ends where it should. */
static bool
begins_quebec_code(const char *text)
{
	if (*text == '\0' || strchr("GHJghj", *text) == NULL || !IS_DIGIT(text[1]) ||
		!IS_LETTER(text[2]))
		return false;
	text += text[3] == ' ' || text[3] == '-' ? 4 : 3;
	return IS_DIGIT(text[0]) && IS_LETTER(text[1]) && IS_DIGIT(text[2]) && !IS_LETTER(text[3]) &&
		   !IS_DIGIT(text[3]);
}

/* Warn of a holder in Quebec; other scripts' letters, and an unbreakable blank, end a word like a blank. */
static void
check_address(Reader *reader, const char *path)
{
	char before = ' ';

	for (const char *c = reader->certificate->holder_address; *c != '\0'; before = *c++)
		if (!IS_LETTER(before) && !IS_DIGIT(before) && begins_quebec_code(c))
		{
			add_warning(reader, path,
						"is in Quebec by its postal code, which Summit's pages exclude");
			return;
		}
}

/* Check and push one scalar, and keep it in the result if it has a place there. */
static void
read_scalar(Reader *reader, const Field *field, const char *path, const JsonbValue *value,
			JsonbIteratorToken token)
{
	void *result = (char *) reader->certificate + field->result;
	JsonbValue read = *value;

	if (field->type == FIELD_TEXT)
		read = field_text(reader->rules, path, value);
	else if (field->type == FIELD_WORD)
		read = field_word(field->words, path, value);
	else if (field->type == FIELD_DATE)
		*(DateADT *) result = field_date(path, value);
	else if (field->type == FIELD_AMOUNT)
		field_check_amount(path, value);
	else if (field->type == FIELD_DAYS)
		read = field_days(path, value);
	else if (value->type != jbvBool)
		field_refuse(path, "must be true or false", NULL, NULL);
	if (field->result != 0 && read.type == jbvString && field->type != FIELD_DATE)
		*(const char **) result = pnstrdup(read.val.string.val, read.val.string.len);
	if (field->check != NULL)
		field->check(reader, path);
	builder_put(&reader->builder, token, &read);
}

/* The bytes of a document must be what they are said to be; returns that. */
static const char *
check_content(const char *path, const char *bytes_path, const char *stated, const char *bytes,
			  size_t len)
{
	const char *found;

	if (len > (size_t) setting_max_document_size * 1024)
		field_refuse(bytes_path,
					 psprintf("must not be larger than %d kB", setting_max_document_size), NULL,
					 "The limit is setting canopy_summit.max_document_size.");
	found = file_type_of(bytes, len);
	if (found == NULL)
		field_refuse(bytes_path, "is not a whole PDF, PNG or JPEG", NULL, NULL);
	if (stated != NULL && strcmp(stated, found) != 0)
		field_refuse(field_path(path, "content_type"), "does not agree with the content",
					 psprintf("The content is %s.", found), NULL);
	return found;
}

/* A member of a document that must be text; NULL if it is missing. */
static JsonbValue *
document_member(const char *path, JsonbContainer *document, const char *key)
{
	JsonbValue *value = member_value(document, key);

	if (is_missing(&document_fields[0], value))
		return NULL;
	if (value->type != jbvString)
		field_refuse(field_path(path, key), "must be text", NULL, NULL);
	*value = field_trim(value);
	return value;
}

/* The content type that a document states. */
static const char *
read_content_type(const char *path, const char *name, int len)
{
	const char *content_type = file_type_read(name, len);

	if (content_type == NULL)
		field_refuse(field_path(path, "content_type"),
					 "must be one of: application/pdf, image/png, image/jpeg", NULL, NULL);
	return content_type;
}

/* Keep the SHA-256 of the COI's bytes. */
static void
keep_coi_hash(Certificate *certificate, const char *bytes, int len)
{
	uint8 digest[DIGEST_LENGTH];
	char *hex = palloc(2 * DIGEST_LENGTH + 1);

	digest_bytes(bytes, len, digest);
	hex[hex_encode((const char *) digest, DIGEST_LENGTH, hex)] = '\0';
	certificate->coi_sha256 = hex;
}

/* Push the content of a document that came in base64. */
static void
read_base64(Reader *reader, const Field *field, const char *path, const char *content_type,
			const JsonbValue *value)
{
	const char *bytes_path = field_path(path, "base64");
	char *bytes;
	int len;

	if (content_type == NULL)
		field_refuse(field_path(path, "content_type"), "is required", NULL, NULL);
	if (!base64_decode_exactly(value->val.string.val, value->val.string.len, &bytes, &len))
		field_refuse(bytes_path, "not base64", NULL, NULL);
	(void) check_content(path, bytes_path, content_type, bytes, len);
	if (field->holds_coi)
		keep_coi_hash(reader->certificate, bytes, len);
	builder_add_text(&reader->builder, "base64", base64_encode(bytes, len));
}

/* Push the address of a document that Summit is to fetch. */
static void
read_url(Reader *reader, const Field *field, const char *path, const JsonbValue *value)
{
	const char *url = pnstrdup(value->val.string.val, value->val.string.len);

	path = field_path(path, "url");
	if (value->val.string.len > FIELD_TEXT_MAX)
		field_refuse(path, psprintf("must not be longer than %d bytes", FIELD_TEXT_MAX), NULL,
					 NULL);
	if (pg_strncasecmp(url, "https://", 8) != 0 || url[8] == '/' || url_host(url) == NULL)
		field_refuse(path, "must be an https URL with a host and without a user name", NULL, NULL);
	if (field->holds_coi)
		reader->certificate->coi_url = pnstrdup(url, strcspn(url, "?#"));
	builder_add_text(&reader->builder, "url", url);
}

/* A document is {content_type, base64} or {content_type, url}; beside a URL the type may be missing. */
static void
read_document(Reader *reader, const Field *field, const char *path, const JsonbValue *value)
{
	JsonbContainer *document;
	JsonbValue *stated, *base64, *url;
	const char *content_type = NULL;

	if (!value_is_object(value))
		field_refuse(path, "must be an object", NULL, NULL);
	document = value->val.binary.data;
	check_keys(reader, document_fields, path, document);
	stated = document_member(path, document, "content_type");
	base64 = document_member(path, document, "base64");
	url = document_member(path, document, "url");
	if ((base64 == NULL) == (url == NULL))
		field_refuse(path, "must have either base64 or url", NULL, NULL);
	builder_begin_object(&reader->builder);
	if (stated != NULL)
	{
		content_type = read_content_type(path, stated->val.string.val, stated->val.string.len);
		builder_add_text(&reader->builder, "content_type", content_type);
	}
	if (base64 != NULL)
		read_base64(reader, field, path, content_type, base64);
	else
		read_url(reader, field, path, url);
	builder_end_object(&reader->builder);
}

/* The argument coi as the document at this path. */
static void
read_coi(Reader *reader, const char *path)
{
	const char *bytes = VARDATA_ANY(reader->coi);
	int len = VARSIZE_ANY_EXHDR(reader->coi);
	const char *stated = reader->coi_content_type;

	if (stated != NULL)
		stated = read_content_type(path, stated, strlen(stated));
	keep_coi_hash(reader->certificate, bytes, len);
	builder_begin_object(&reader->builder);
	builder_add_text(&reader->builder, "content_type",
					 check_content(path, path, stated, bytes, len));
	builder_add_text(&reader->builder, "base64", base64_encode(bytes, len));
	builder_end_object(&reader->builder);
}

/* Check and push one value, a member or an element as `token` says. */
static void
read_value(Reader *reader, const Field *field, const char *path, const JsonbValue *value,
		   JsonbIteratorToken token)
{
	if (field->type == FIELD_DOCUMENT)
		read_document(reader, field, path, value);
	else if (field->type == FIELD_OBJECT)
	{
		if (!value_is_object(value))
			field_refuse(path, "must be an object", NULL, NULL);
		read_fields(reader, field->fields, path, value->val.binary.data);
	}
	else
		read_scalar(reader, field, path, value, token);
}

static void
read_array(Reader *reader, const Field *field, const char *path, const JsonbValue *value)
{
	JsonWalk walk;
	int index = 0;

	if (!value_is_array(value))
		field_refuse(path, "must be an array", NULL, NULL);
	builder_begin_array(&reader->builder);
	walk = walk_begin(value->val.binary.data);
	while (walk_next(&walk))
		read_value(reader, field, psprintf("%s[%d]", path, index++), &walk.value, WJB_ELEM);
	builder_end_array(&reader->builder);
}

/* Note or refuse that a field is missing. */
static void
read_missing(Reader *reader, const Field *field, const char *path)
{
	if (field->required)
		field_refuse(path, "is required", NULL, NULL);
	if (field->warning != NULL)
		add_warning(reader, path, field->warning);
}

/* Check and push an object, NULL being one without members. */
static void
read_fields(Reader *reader, const Field *fields, const char *path, JsonbContainer *object)
{
	builder_begin_object(&reader->builder);
	if (object != NULL)
		check_keys(reader, fields, path, object);
	for (const Field *field = fields; field->name != NULL; field++)
	{
		const char *child = field_path(path, field->name);
		JsonbValue *value = member_value(object, field->name);
		bool missing = is_missing(field, value);
		bool takes_coi = field->holds_coi && reader->coi != NULL;

		if (missing && !takes_coi)
		{
			read_missing(reader, field, child);
			continue;
		}
		builder_key(&reader->builder, field->name);
		if (takes_coi && field->type == FIELD_DOCUMENT)
		{
			if (!missing)
				field_refuse(child, "is given twice, in the payload and as argument coi", NULL,
							 NULL);
			read_coi(reader, child);
		}
		else if (missing)
			read_fields(reader, field->fields, child, NULL);
		else if (field->is_array)
			read_array(reader, field, child, value);
		else
			read_value(reader, field, child, value, WJB_VALUE);
	}
	builder_end_object(&reader->builder);
}

/*
 * The certificate that a payload in Summit's shape is, in the current memory
 * context.  `coi` becomes its documents.coi_pdf, if given; `content_type` says
 * what it is meant to be, NULL = whatever it is.  Errors, all 22023 with the
 * path of the field: the shape, a document, or data minimization.
 */
Certificate *
certificate_read(Jsonb *payload, bytea *coi, const char *content_type)
{
	Reader reader = {.certificate = palloc0(sizeof(Certificate)), .rules = minimize_rules()};

	if (!JB_ROOT_IS_OBJECT(payload))
		field_refuse("payload", "must be an object", NULL, NULL);
	reader.coi = coi;
	reader.coi_content_type = content_type;
	read_fields(&reader, certificate_fields, "", &payload->root);
	reader.certificate->body = builder_finish(&reader.builder);
	return reader.certificate;
}

/* Warnings as [{"field", "message"}]. */
static Jsonb *
warnings_to_jsonb(List *warnings)
{
	JsonBuilder builder = {0};
	ListCell *cell;

	builder_begin_array(&builder);
	foreach(cell, warnings)
	{
		const CertificateWarning *warning = lfirst(cell);

		builder_begin_object(&builder);
		builder_add_text(&builder, "field", warning->field);
		builder_add_text(&builder, "message", warning->text);
		builder_end_object(&builder);
	}
	builder_end_array(&builder);
	return builder_finish(&builder);
}

/* canopy_summit.check_certificate(payload jsonb, coi bytea, content_type text) -> record */
static Datum
canopy_summit_check_certificate_confidential(PG_FUNCTION_ARGS)
{
	Certificate *certificate;
	Values values = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("payload cannot be NULL")));
	certificate =
		certificate_read(PG_GETARG_JSONB_P(0), PG_ARGISNULL(1) ? NULL : PG_GETARG_BYTEA_PP(1),
						 PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	values_add_json(&values, certificate->body);
	values_add_json(&values, warnings_to_jsonb(certificate->warnings));
	return values_row(&values, fcinfo);
}
