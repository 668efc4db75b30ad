/*
 * upload.c
 *	  How a certificate gets to Summit's queue: summit.upload, the function and
 *	  the trigger that insert into it, and waiting for the end.
 *
 * Every way in is an INSERT into summit.upload, whose trigger is the one
 * validator.  Nothing of a refused payload is kept.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/confidential.h"
#include "base/digest.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "engine/argument.h"
#include "engine/engine.h"
#include "engine/instance.h"
#include "engine/lock.h"
#include "engine/new_row.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "job/job.h"
#include "process/wake.h"
#include "server/connection.h"
#include "server/provider.h"
#include "summit/certificate.h"
#include "summit/document_scan.h"
#include "summit/upload.h"

CONFIDENTIAL_FUNCTION(canopy_summit_upload_fill);
CONFIDENTIAL_FUNCTION(canopy_summit_upload_policy);

#define UPLOAD_PRIORITY 5

/* Where an upload comes from, between summit_upload_on_insert() and the row it inserts. */
UploadSource *upload_source = NULL;

/* The upload that absorbed the last inserted row of this session. */
static int64 absorbed_by = 0;

/* SHA-256 of the body as it is sent. */
void
upload_hash(Jsonb *body, uint8 *hash)
{
	char *text = JsonbToCString(NULL, &body->root, VARSIZE(body));

	digest_text(text, hash);
	pfree(text);
}

/* The look-ups see what others have committed while we waited for the lock. */
static Statement select_same = {
	3,
	{BYTEAOID, OIDOID, OIDOID},
	"SELECT u.upload_id FROM summit.upload u WHERE u.request_hash = $1"
	" AND canopy_summit.server_of(u.server_oid, u.server, u.instance) = $2"
	" AND canopy_summit.owner_of(u.owner_oid, u.owner, u.instance) = $3 AND u.uploaded_at > now() - interval '24 hours'"
	" AND u.status NOT IN ('failed', 'refused') AND NOT EXISTS ("
	"  SELECT FROM canopy_summit.job j WHERE j.job_id = u.job_id AND j.state = 'cancelled')"
	" ORDER BY u.upload_id LIMIT 1",
};
/*
 * What has become of a key.  An upload that failed, was refused or cancelled (its job may
 * be gone by then, of a queued one only if it was) absorbs nothing, but Summit may know
 * the key by it: then the key stands for that body, from that time on.
 */
static Statement select_key = {
	4,
	{TEXTOID, OIDOID, OIDOID, BYTEAOID},
	"SELECT min(k.upload_id) FILTER (WHERE k.absorbs AND k.is_same),"
	" coalesce(bool_or(NOT k.is_same AND (k.absorbs OR k.sent_at IS NOT NULL)), false),"
	" min(k.sent_at)"
	" FROM (SELECT u.upload_id, u.request_hash = $4 AS is_same,"
	"   CASE u.status WHEN 'queued' THEN coalesce(j.state NOT IN ('failed', 'cancelled'), false)"
	"    ELSE u.status NOT IN ('failed', 'refused') END AS absorbs,"
	"   CASE WHEN j.job_id IS NULL THEN u.uploaded_at ELSE (SELECT min(a.started_at)"
	"    FROM canopy_summit.job_attempt a WHERE a.job_id = j.job_id) END AS sent_at"
	"  FROM summit.upload u LEFT JOIN canopy_summit.job j ON j.job_id = u.job_id"
	"  WHERE u.idempotency_key = $1"
	"   AND canopy_summit.server_of(u.server_oid, u.server, u.instance) = $2"
	"   AND canopy_summit.owner_of(u.owner_oid, u.owner, u.instance) = $3) AS k",
};

/* The first upload of the same body by the same role within a day; 0 = there is none. */
static int64
upload_find_same(Oid server, Oid owner, const uint8 *hash)
{
	Datum arguments[3] = {bytes_datum(hash, DIGEST_LENGTH), ObjectIdGetDatum(server),
						  ObjectIdGetDatum(owner)};

	return statement_run_now(&select_same, arguments, NULL) == 0 ? 0
																 : DatumGetInt64(statement_value());
}

/*
 * The upload that a role's key stands for; 0 = there is none, and *sent_at is when one
 * that came to nothing was first sent with it, 0 = never.  Error 22023: the key was used
 * for another body, or for so long that Summit does not know it any more.  The caller
 * has the locks of the body and the key.
 */
static int64
upload_find_key(Oid server, Oid owner, const char *key, const uint8 *hash, TimestampTz *sent_at)
{
	Datum arguments[4] = {CStringGetTextDatum(key), ObjectIdGetDatum(server),
						  ObjectIdGetDatum(owner), bytes_datum(hash, DIGEST_LENGTH)};
	Record record;
	int64 upload_id;
	bool is_used;

	(void) statement_run_now(&select_key, arguments, NULL);
	record = statement_record(0);
	upload_id = record_int64(&record);
	is_used = record_boolean(&record);
	*sent_at = record_time(&record);
	if (is_used)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("idempotency_key was used for another payload"),
						errhint("Use a new key for a new payload, or none.")));
	if (upload_id == 0 && *sent_at != 0 && GetCurrentTimestamp() > *sent_at + JOB_KEY_LIFE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("idempotency_key was first sent a day ago, or earlier"),
						errhint("Look at Summit whether that upload is there; if it is not, "
								"use a new key, or none.")));
	return upload_id;
}

/* A key that nobody has used: a random UUID. */
static char *
upload_new_key(void)
{
	return DatumGetCString(
		DirectFunctionCall1(uuid_out, DirectFunctionCall1(gen_random_uuid, (Datum) 0)));
}

/* {"Idempotency-Key": key}: the parameters of the job. */
static Jsonb *
upload_params(const char *key)
{
	JsonBuilder builder = {0};

	builder_add_text(&builder, "Idempotency-Key", key);
	return builder_finish_object(&builder);
}

/*
 * Complete a row of the job table that uploads without summit.upload: the same
 * validator, key and hash, but nobody follows the upload to its end.
 */
void
upload_fill_job(NewRow *row, const Connection *connection)
{
	const char *key = new_row_text(row, "idempotency_key");
	Jsonb *body = new_row_json(row, "body");
	uint8 hash[DIGEST_LENGTH];

	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("body of an upload cannot be NULL"),
				 errhint("Upload with summit_upload_policy() to have it followed to its end.")));
	if (key == NULL)
		key = json_text_field(new_row_json(row, "params"), "Idempotency-Key");
	if (key == NULL)
		key = upload_new_key();
	body = certificate_read(body, NULL, NULL)->body;
	documents_check_scan(body);
	upload_hash(body, hash);
	new_row_put(row, "body", JsonbPGetDatum(body));
	new_row_put(row, "params", JsonbPGetDatum(upload_params(key)));
	new_row_put_text(row, "idempotency_key", key);
	new_row_put(row, "request_hash", bytes_datum(hash, DIGEST_LENGTH));
}

/* Fill the columns that say what is insured, for whom. */
static void
upload_fill_certificate(NewRow *row, const Certificate *certificate)
{
	new_row_put(row, "payload",
				DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(certificate->body),
									CStringGetTextDatum("documents")));
	new_row_clear(row, "coi");
	new_row_put_text(row, "policy_number", certificate->policy_number);
	new_row_put_text(row, "policy_type", certificate->policy_type);
	new_row_put_text(row, "insurer_name", certificate->insurer_name);
	new_row_put(row, "effective_date", DateADTGetDatum(certificate->effective_date));
	new_row_put(row, "expiry_date", DateADTGetDatum(certificate->expiry_date));
	new_row_put_text(row, "holder_name", certificate->holder_name);
	new_row_put_text(row, "property_id", certificate->property_id);
	new_row_put_text(row, "unit_id", certificate->unit_id);
	new_row_put_text(row, "lease_id", certificate->lease_id);
	new_row_put_text(row, "tenant_id", certificate->tenant_id);
	new_row_put_text(row, "coi_url", certificate->coi_url);
	new_row_put_text(row, "coi_sha256", certificate->coi_sha256);
}

/* Fill the engine's columns, whatever the row says. */
static void
upload_fill_engine(NewRow *row, const Connection *connection, const char *status)
{
	static const char *const empty[] = {"job_id",        "summit_job_id",  "source_table",
										"source_key",    "error_code",     "error_field",
										"error_message", "correlation_id", "accepted_at",
										"finished_at",   "request_hash",   "coi_url",
										"coi_sha256"};

	for (int i = 0; i < lengthof(empty); i++)
		new_row_clear(row, empty[i]);
	new_row_put(row, "owner",
				DirectFunctionCall1(namein,
									CStringGetDatum(GetUserNameFromId(GetUserId(), false))));
	new_row_put(row, "owner_oid", ObjectIdGetDatum(GetUserId()));
	new_row_put_text(row, "server", connection->server);
	new_row_put(row, "server_oid", ObjectIdGetDatum(connection->server_oid));
	new_row_put(row, "instance", Int64GetDatum(instance_current()));
	new_row_put_text(row, "status", status);
	new_row_put(row, "uploaded_at", TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	if (upload_source != NULL)
	{
		new_row_put_text(row, "source_table", upload_source->table);
		new_row_put(row, "source_key", JsonbPGetDatum(upload_source->key));
	}
}

/* Fill a row that records the refusal of a payload, and nothing of the payload. */
static void
upload_fill_refusal(NewRow *row, const Connection *connection, const ErrorData *refusal)
{
	new_row_clear(row, "payload");
	new_row_clear(row, "coi");
	new_row_clear(row, "idempotency_key");
	upload_fill_engine(row, connection, "refused");
	new_row_put(row, "upload_id", Int64GetDatum(engine_next_key("upload_id_seq")));
	new_row_put_text(row, "error_code", unpack_sql_state(refusal->sqlerrcode));
	new_row_put_text(row, "error_field", refusal->column_name);
	new_row_put_text(row, "error_message", refusal->message);
	new_row_put(row, "finished_at", TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
}

/* Warn of a renewal that comes too late for Summit not to tell the property of a lapse. */
static void
upload_check_renewal(Certificate *certificate, const char *server)
{
	static Statement late = {9,
							 {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
							  DATEOID, DATEOID},
							 "SELECT canopy_summit.renewal_is_late($1, $2, $3, jsonb_strip_nulls("
							 "jsonb_build_object('property_id', $4, 'unit_id', $5, 'lease_id', $6,"
							 " 'tenant_id', $7)), $8, $9)"};
	CertificateWarning *warning;
	Values values = {0};

	values_add_text(&values, server);
	values_add_text(&values, certificate->policy_number);
	values_add_text(&values, certificate->policy_type);
	values_add_text(&values, certificate->property_id);
	values_add_text(&values, certificate->unit_id);
	values_add_text(&values, certificate->lease_id);
	values_add_text(&values, certificate->tenant_id);
	values_add(&values, DateADTGetDatum(certificate->effective_date));
	values_add(&values, DateADTGetDatum(certificate->expiry_date));
	statement_run_values(&late, &values);
	if (!DatumGetBool(statement_value()))
		return;
	warning = palloc(sizeof(CertificateWarning));
	warning->field = "policy.effective_date";
	warning->text = "renews what ends in less than 15 days: the property may be told of a lapse";
	certificate->warnings = lappend(certificate->warnings, warning);
}

/* Say and write down what Summit takes and should be better. */
static void
upload_warn(int64 upload_id, List *warnings)
{
	static Statement insert = {3,
							   {INT8OID, TEXTOID, TEXTOID},
							   "INSERT INTO summit.upload_warning VALUES ($1, $2, $3)"};
	ListCell *cell;

	foreach(cell, warnings)
	{
		CertificateWarning *warning = lfirst(cell);
		Datum arguments[3] = {Int64GetDatum(upload_id), CStringGetTextDatum(warning->field),
							  CStringGetTextDatum(warning->text)};

		ereport(NOTICE, (errmsg("%s: %s", warning->field, warning->text)));
		(void) statement_run(&insert, arguments, NULL);
	}
}

/*
 * Enqueue the upload of a row, and fill the row; false if another upload absorbs it.
 * The row is filled outside the engine, whose memory ends with it.
 */
static bool
upload_enqueue(NewRow *row, Certificate *certificate, const Connection *connection)
{
	const char *key = new_row_text(row, "idempotency_key");
	uint64 group = lock_owner_key(connection->server_oid, GetUserId());
	uint8 hash[DIGEST_LENGTH];
	JobSpec spec = {.server_oid = connection->server_oid,
					.owner_oid = GetUserId(),
					.server = connection->server,
					.owner = GetUserNameFromId(GetUserId(), false),
					.operation = "upload-policy",
					.body = certificate->body};
	int64 upload_id = 0;
	int64 job_id = 0;
	Engine engine;

	if (key != NULL)
		job_check_idempotency_key(key);
	upload_hash(certificate->body, hash);
	spec.idempotency_key = key ? key : upload_new_key();
	engine_begin(&engine);
	lock_take_of(UPLOAD_LOCKTAG, group, lock_key(hash));
	if (key != NULL)
		lock_take_of(UPLOAD_LOCKTAG, group, lock_text_key(key));
	absorbed_by = key != NULL ? upload_find_key(spec.server_oid, spec.owner_oid, key, hash,
												&spec.first_sent_at)
							  : upload_find_same(spec.server_oid, spec.owner_oid, hash);
	if (absorbed_by == 0)
	{
		documents_check_scan(certificate->body);
		spec.priority = UPLOAD_PRIORITY;
		spec.run_at = GetCurrentTransactionStartTimestamp();
		spec.params = upload_params(spec.idempotency_key);
		spec.request_hash = hash;
		upload_id = engine_next_key("upload_id_seq");
		job_id = job_insert(&spec);
		upload_check_renewal(certificate, connection->server);
		upload_warn(upload_id, certificate->warnings);
	}
	engine_end(&engine);
	if (absorbed_by != 0)
		return false;
	upload_fill_engine(row, connection, "queued");
	upload_fill_certificate(row, certificate);
	new_row_put(row, "upload_id", Int64GetDatum(upload_id));
	new_row_put_text(row, "idempotency_key", spec.idempotency_key);
	new_row_put(row, "request_hash", bytes_datum(hash, DIGEST_LENGTH));
	new_row_put(row, "job_id", Int64GetDatum(job_id));
	return true;
}

/* trigger upload_fill: BEFORE INSERT ON summit.upload FOR EACH ROW */
static Datum
canopy_summit_upload_fill_confidential(PG_FUNCTION_ARGS)
{
	NewRow row;
	const char *server;
	const char *content_type;
	Connection *connection;
	Certificate *certificate;

	new_row_begin(&row, fcinfo, "upload_fill");
	if (!new_row_is_null(&row, "upload_id"))
		return new_row_tuple(&row);
	server = new_row_text(&row, "server");
	connection = connection_open(server, PROVIDER_SUMMIT);
	if (upload_source != NULL && upload_source->refusal != NULL)
	{
		upload_fill_refusal(&row, connection, upload_source->refusal);
		return new_row_tuple(&row);
	}
	if (new_row_is_null(&row, "payload"))
		ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("payload cannot be NULL")));
	content_type = new_row_text(&row, "content_type");
	certificate = certificate_read(new_row_json(&row, "payload"),
								   new_row_is_null(&row, "coi")
									   ? NULL
									   : DatumGetByteaPP(row.values[new_row_column(&row, "coi")]),
								   content_type);
	if (upload_enqueue(&row, certificate, connection))
	{
		wake_notice_absence();
		return new_row_tuple(&row);
	}
	ereport(NOTICE, (errmsg("the same payload is upload %lld already", (long long) absorbed_by)));
	return PointerGetDatum(NULL);
}

/* summit_upload_policy(payload jsonb, coi bytea, content_type text, server name, idempotency_key text) -> bigint */
static Datum
canopy_summit_upload_policy_confidential(PG_FUNCTION_ARGS)
{
	static Statement insert = {
		5,
		{JSONBOID, BYTEAOID, TEXTOID, NAMEOID, TEXTOID},
		"INSERT INTO summit.upload (payload, coi, content_type, server, idempotency_key)"
		" VALUES ($1, $2, $3, $4, $5) RETURNING upload_id",
	};
	Values arguments = {0};
	int64 upload_id;

	for (int i = 0; i < insert.argument_count; i++)
		argument_add(&arguments, fcinfo, i);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	/* As the caller: the table's own rights decide. */
	upload_id = statement_run_values(&insert, &arguments) == 0 ? absorbed_by
															   : DatumGetInt64(statement_value());
	SPI_finish();
	PG_RETURN_INT64(upload_id);
}
