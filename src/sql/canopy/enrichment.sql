-- canopy/enrichment.sql: looking up properties, drivers and households.
-- Replaceable.

CREATE FUNCTION @extschema@.canopy_enrich_property(address text, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_enrich_property'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_enrich_property(text, name) IS
	'has a property looked up by its address, in one line, which costs and is not repeated by itself; returns the job; see canopy.enrichment';

CREATE FUNCTION @extschema@.canopy_enrich_driver_license(first_name text, last_name text, date_of_birth date, address text,
	purpose text, employee_name text, employee_job_function text, middle_name text DEFAULT NULL, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_enrich_driver_license'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_enrich_driver_license(text, text, date, text, text, text, text, text, name) IS
	'has a person''s driver''s license looked up, which costs and is not repeated by itself; purpose is a use of canopy_summit.dppa_uses(); returns the job; see canopy.enrichment';

CREATE FUNCTION @extschema@.canopy_enrich_driving_record(first_name text, last_name text, address text, purpose text,
	employee_name text, employee_job_function text, middle_name text DEFAULT NULL, date_of_birth date DEFAULT NULL,
	drivers_license text DEFAULT NULL, drivers_license_state text DEFAULT NULL, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_enrich_driving_record'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_enrich_driving_record(text, text, text, text, text, text, text, date, text, text, name) IS
	'has a person''s driving record looked up, by date of birth or by license and its state, which costs and is not repeated by itself; purpose is a use of canopy_summit.dppa_uses(); returns the job; see canopy.enrichment';

CREATE FUNCTION @extschema@.canopy_enrich_household(first_name text, last_name text, address text, purpose text,
	employee_name text, employee_job_function text, middle_name text DEFAULT NULL, date_of_birth date DEFAULT NULL,
	drivers_license text DEFAULT NULL, drivers_license_state text DEFAULT NULL, lookup_vehicles boolean DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_enrich_household'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_enrich_household(text, text, text, text, text, text, text, date, text, text, boolean, name) IS
	'has the drivers of a person''s household looked up, and their vehicles with lookup_vehicles, by date of birth or by license and its state, which costs and is not repeated by itself; purpose is a use of canopy_summit.dppa_uses(); returns the job; see canopy.enrichment';

CREATE FUNCTION canopy_summit.dppa_uses(OUT paragraph integer, OUT use text, OUT words text) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_dppa_uses'
LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 14;
COMMENT ON FUNCTION canopy_summit.dppa_uses() IS
	'permissible uses of motor-vehicle records, 18 U.S.C. 2721(b): a purpose names a paragraph, such as (b)(6), or has one of the words';

CREATE FUNCTION canopy_summit.enrichment_kind(operation text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE operation WHEN 'get-property-data' THEN 'property' WHEN 'get-enrichment-driverlicense' THEN 'driver_license'
	WHEN 'get-enrichment-drivingrecordiq' THEN 'driving_record' WHEN 'get-enrichment-household' THEN 'household' END;
COMMENT ON FUNCTION canopy_summit.enrichment_kind(text) IS 'what an operation looks up; NULL if it looks up nothing';

CREATE FUNCTION canopy_summit.enrichment_asked(job canopy_summit.job, server text, asked_at timestamptz) RETURNS canopy_summit.enrichment
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT job.job_id, enrichment_asked.server, canopy_summit.enrichment_kind(job.operation), enrichment_asked.asked_at,
		canopy_summit.owner_name(job.owner_oid, job.owner, job.instance), job.params ->> 'purpose', job.params ->> 'employee_name',
		job.params ->> 'employee_job_function', job.params ->> 'first_name', job.params ->> 'middle_name', job.params ->> 'last_name',
		canopy_summit.date_or_null(concat_ws('-', split_part(job.params ->> 'date_of_birth_str', '/', 3),
			split_part(job.params ->> 'date_of_birth_str', '/', 1), split_part(job.params ->> 'date_of_birth_str', '/', 2))), job.params ->> 'address', job.params ->> 'drivers_license',
		job.params ->> 'drivers_license_state', NULL::text, NULL::text, NULL::jsonb;
END;
COMMENT ON FUNCTION canopy_summit.enrichment_asked(canopy_summit.job, text, timestamptz) IS 'what a job looks up, as a row of canopy_summit.enrichment that has no answer yet';

CREATE FUNCTION canopy_summit.keep_enrichment(job_id bigint, server text, asked_at timestamptz, problem text, answer jsonb) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT canopy_summit.follow('enrichment', 'job_id', keep_enrichment.server, ARRAY[keep_enrichment.job_id::text]);
	INSERT INTO canopy_summit.enrichment AS e
	SELECT a.job_id, a.server, a.kind, a.asked_at, a.asked_by, a.purpose, a.employee_name, a.employee_job_function, a.first_name, a.middle_name,
		a.last_name, a.date_of_birth, a.address, a.drivers_license, a.drivers_license_state, keep_enrichment.problem,
		coalesce(keep_enrichment.answer ->> 'driver_license_id', keep_enrichment.answer ->> 'driving_record_iq_id',
			keep_enrichment.answer ->> 'household_id'),
		keep_enrichment.answer
	FROM canopy_summit.job j, LATERAL canopy_summit.enrichment_asked(j, keep_enrichment.server, keep_enrichment.asked_at) AS a
	WHERE j.job_id = keep_enrichment.job_id
	ON CONFLICT (job_id, asked_at, server) DO NOTHING;
END;
COMMENT ON FUNCTION canopy_summit.keep_enrichment(bigint, text, timestamptz, text, jsonb) IS
	'keeps what a job that looks something up was answered, or why it was not';

CREATE FUNCTION canopy_summit.keep_doubtful_enrichment() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM canopy_summit.keep_enrichment(OLD.job_id, canopy_summit.hold_name(canopy_summit.server_name(OLD.server_oid, OLD.server, OLD.instance)),
		OLD.first_sent_at, NULL, NULL);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION canopy_summit.keep_doubtful_enrichment() IS
	'trigger: keeps that a job has asked, and what came of it is not known, before it asks again';
CREATE TRIGGER keep_doubtful_enrichment AFTER UPDATE OF state ON canopy_summit.job
	FOR EACH ROW WHEN (OLD.state = 'in_doubt' AND NEW.state = 'queued' AND OLD.operation ~ '^get-(property-data|enrichment-)')
	EXECUTE FUNCTION canopy_summit.keep_doubtful_enrichment();

SELECT canopy_summit.define_view('canopy.enrichment', 'look-ups of properties, drivers and households: for whom, why, and what came of them', $view$
SELECT e.job_id, e.server, canopy_summit.server_environment(e.server) AS environment, e.kind,
	CASE WHEN e.answer IS NOT NULL THEN 'answered' WHEN e.problem IS NOT NULL THEN 'failed' ELSE 'in doubt' END AS state, e.problem,
	CASE WHEN e.answer IS NOT NULL THEN true END AS billed, e.asked_at, e.asked_by, e.purpose, e.employee_name, e.employee_job_function, e.first_name, e.middle_name,
	e.last_name, e.date_of_birth, e.address, e.drivers_license, e.drivers_license_state, e.enrichment_id, e.answer
FROM (SELECT a.* FROM canopy_summit.enrichment a
		UNION ALL
		SELECT d.* FROM canopy_summit.job j,
			LATERAL canopy_summit.enrichment_asked(j, canopy_summit.server_name(j.server_oid, j.server, j.instance), j.first_sent_at) AS d
		WHERE j.state = 'in_doubt' AND canopy_summit.enrichment_kind(j.operation) IS NOT NULL) AS e$view$, $notes$
state: answered; failed: the server said no; in doubt: its answer was lost, and it may have been billed
billed: true if it was answered, which costs; NULL if it may have been billed all the same
job_id: job that asked; canopy_summit.retry_job() asks again where it is in doubt
kind: property, driver_license, driving_record or household
problem: why there is no answer: what the server said instead
asked_at: start of the request, of one in doubt of its claim
asked_by: role that enqueued it
purpose: use that the Driver's Privacy Protection Act permits; NULL of a property
employee_name: person answerable for asking
employee_job_function: job title of that person
first_name: person asked about
middle_name: of the same
last_name: of the same
date_of_birth: of the same
address: of the property, or of the person
drivers_license: number, if it was asked by that
drivers_license_state: state that issued it
enrichment_id: the look-up's id at Canopy; a property's has none
answer: what the API answered, whole$notes$);

SELECT canopy_summit.allow('nobody', 'function', 'keep_enrichment keep_doubtful_enrichment');
SELECT canopy_summit.allow('reader', 'function', 'enrichment_kind enrichment_asked date_or_null');
SELECT canopy_summit.allow('fetcher operator', 'function', 'dppa_uses');
