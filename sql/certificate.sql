-- certificate: what Summit takes, what it is told when it does not, and what must not get there.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
\pset format unaligned
\pset null '-'

-- Documents that are what they look like, as short as can be.
CREATE FUNCTION pg_temp.pdf() RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT convert_to(E'%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n', 'UTF8')
$$;
CREATE FUNCTION pg_temp.png() RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT '\x89504e470d0a1a0a0000000d4948445200000001000000010800000000'::bytea || '\x3a7e9b550000000049454e44ae426082'::bytea
$$;
CREATE FUNCTION pg_temp.jpeg() RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT '\xffd8ffe000104a46494600010100000100010000ffd9'::bytea
$$;

-- The body of the guide's curl example, to the letter.
CREATE FUNCTION pg_temp.example() RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT '{
 "policy": {
 "policy_number": "ABC123456",
 "insurer_name": "Example Insurance Company of Canada",
 "policy_type": "CGL",
 "effective_date": "2025-01-01",
 "expiry_date": "2026-01-01",
 "limits": {"per_occurrence": 2000000, "aggregate": 5000000},
 "cancellation_notice_days": 30,
 "endorsements": ["Additional Insured", "Waiver of Subrogation"]
 },
 "certificate_holder": {
 "name": "ABC Apartments",
 "address": "123 Main St, Kelowna, BC V1Y 1A1",
 "additional_insured": true,
 "waiver_of_subrogation": true,
 "reference_ids": {
 "property_id": "KEL-001",
 "unit_id": "Unit-204",
 "lease_id": "L-7788",
 "tenant_id": "RES-9981"
 }
 },
 "documents": {
 "coi_pdf": {"content_type": "application/pdf", "base64": "{BASE64_PDF}"}
 }
 }'
$$;
CREATE FUNCTION pg_temp.payload() RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	SELECT pg_temp.example()::jsonb #- '{documents,coi_pdf}'
$$;

-- 'taken', with warnings if there are any, or the error.
CREATE FUNCTION pg_temp.outcome(payload jsonb, coi bytea DEFAULT NULL, content_type text DEFAULT 'application/pdf') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	found jsonb;
	field text;
	message text;
	detail text;
	hint text;
BEGIN
	SELECT warnings INTO found FROM canopy_summit.check_certificate(payload, coi, content_type);
	RETURN concat_ws(' ', 'taken', nullif(found, '[]'));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, field = COLUMN_NAME;
	RETURN concat_ws(E'\n', CASE WHEN SQLSTATE <> '22023' THEN SQLSTATE || ': ' ELSE '' END || message,
		CASE WHEN SQLSTATE = '22023' AND NOT starts_with(message, field || ': ') THEN '  column_name: ' || field END,
		'  detail: ' || nullif(detail, ''), '  hint: ' || nullif(hint, ''));
END
$$;
-- The same for the payload with one value put or, if NULL, taken out. A path's missing objects are made.
CREATE FUNCTION pg_temp.with_value(path text, value jsonb, payload jsonb DEFAULT pg_temp.payload()) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	keys text[] := string_to_array(path, '.');
BEGIN
	FOR i IN 1 .. array_length(keys, 1) - 1 LOOP
		IF payload #> keys[:i] IS NULL THEN
			payload := jsonb_set(payload, keys[:i], '{}');
		END IF;
	END LOOP;
	RETURN CASE WHEN value IS NULL THEN payload #- keys ELSE jsonb_set(payload, keys, value) END;
END
$$;

-- What the guide shows is taken as it stands, with a document in its placeholder; that comes out in one line.
SELECT jsonb_pretty(body #- '{documents,coi_pdf,base64}') AS body, body #>> '{documents,coi_pdf,base64}' = translate(encode(pg_temp.pdf(), 'base64'), E'\n', '') AS document,
	warnings
FROM canopy_summit.check_certificate(replace(pg_temp.example(), '{BASE64_PDF}', replace(encode(pg_temp.pdf(), 'base64'), E'\n', '\n'))::jsonb);
SELECT pg_temp.outcome(pg_temp.example()::jsonb);
SELECT pg_temp.outcome(NULL), pg_temp.outcome('[]'), pg_temp.outcome('"x"'), pg_temp.outcome('{}');
-- The least that is taken, and the most.
SELECT * FROM canopy_summit.check_certificate('{"policy": {"policy_number": " 1 ", "insurer_name": "I", "policy_type": "E&O", "effective_date": "2025-12-31", "expiry_date": "2026-01-01"},
	"certificate_holder": {"name": "N", "additional_insured": false, "waiver_of_subrogation": false, "reference_ids": {"property_id": "P"}}}');
SELECT body - 'documents' AS body, (SELECT jsonb_object_agg(key, left(value::text, 80)) FROM jsonb_each(body -> 'documents')) AS documents, warnings
FROM canopy_summit.check_certificate(pg_temp.payload() || jsonb_build_object(
	'policy', pg_temp.payload() -> 'policy' || '{"policy_type": "D&O", "limits": {"per_occurrence": 0, "aggregate": 1234567.50}, "cancellation_notice_days": 30.0, "broker": {"name": " Zoë Müller\t", "phone": "250-555-0100 x12", "email": "zoe@example.com"}}',
	'certificate_holder', pg_temp.payload() -> 'certificate_holder' || '{"email": "office@example.com", "contact_phone": "+1 (250) 555-0101", "address": "123 Main St\nKelowna"}',
	'documents', jsonb_build_object('endorsements', jsonb_build_array(
		jsonb_build_object('content_type', 'IMAGE/JPG', 'base64', encode(pg_temp.jpeg(), 'base64')), '{"url": "https://example.com/a.pdf?x=1#y"}'::jsonb,
		jsonb_build_object('content_type', 'image/png', 'base64', encode(pg_temp.png(), 'base64'))))), pg_temp.pdf());
-- Nothing given is nothing sent, however it is written.
SELECT body -> 'policy' AS policy, body -> 'documents' AS documents, warnings
FROM canopy_summit.check_certificate(pg_temp.payload() || jsonb_build_object('documents', '{"coi_pdf": null, "endorsements": []}'::jsonb,
	'policy', pg_temp.payload() -> 'policy' || '{"limits": {"per_occurrence": null}, "cancellation_notice_days": null, "endorsements": [], "broker": {"name": " ", "phone": null}}',
	'certificate_holder', jsonb_set(pg_temp.payload() -> 'certificate_holder', '{reference_ids}', '{"property_id": "P", "unit_id": "", "lease_id": null}')));

-- Each field, missing or wrong. The first problem in document order is the one that is told.
SELECT path, pg_temp.outcome(pg_temp.with_value(path, NULL)) AS missing FROM unnest(ARRAY['policy', 'policy.policy_number', 'policy.insurer_name', 'policy.policy_type',
	'policy.effective_date', 'policy.expiry_date', 'policy.limits', 'policy.cancellation_notice_days', 'policy.endorsements', 'certificate_holder', 'certificate_holder.name',
	'certificate_holder.address', 'certificate_holder.additional_insured', 'certificate_holder.waiver_of_subrogation', 'certificate_holder.reference_ids',
	'certificate_holder.reference_ids.property_id', 'certificate_holder.reference_ids.unit_id', 'certificate_holder.reference_ids.lease_id',
	'certificate_holder.reference_ids.tenant_id', 'documents']) AS path;
SELECT path, value, pg_temp.outcome(pg_temp.with_value(path, value)) AS outcome FROM (VALUES
	('policy', '[]'::jsonb), ('policy', '"x"'), ('policy.policy_number', '5'), ('policy.policy_number', '" "'), ('policy.policy_number', '["A"]'),
	('policy.policy_number', '"A\u0001B"'), ('policy.policy_number', '"A\u007f"'), ('policy.insurer_name', '{"a": 1}'), ('policy.policy_type', '"cgl"'), ('policy.policy_type', '"Auto"'), ('policy.policy_type', '1'),
	('policy.effective_date', '"2025-02-29"'), ('policy.effective_date', '"2025-1-1"'), ('policy.effective_date', '"20250101"'), ('policy.effective_date', '"01/01/2025"'),
	('policy.effective_date', '"2025-01-01T00:00:00Z"'), ('policy.effective_date', '" 2025-01-0"'), ('policy.effective_date', '20250101'), ('policy.effective_date', '"tomorrow"'),
	('policy.effective_date', '"2026-01-01"'), ('policy.effective_date', '"2026-01-02"'), ('policy.effective_date', '"2025-12-31"'), ('policy.expiry_date', '"2025-13-01"'),
	('policy.expiry_date', '"2025-01-01"'), ('policy.limits', '2000000'), ('policy.limits', '[]'), ('policy.limits.per_occurrence', '"2,000,000"'), ('policy.limits.per_occurrence', '-0.01'),
	('policy.limits.aggregate', '-1e3'), ('policy.limits.aggregate', 'true'), ('policy.cancellation_notice_days', '-1'), ('policy.cancellation_notice_days', '1.5'),
	('policy.cancellation_notice_days', '"30"'), ('policy.cancellation_notice_days', '99999999999'), ('policy.cancellation_notice_days', '0'), ('policy.endorsements', '"CG 20 10"'),
	('policy.endorsements', '["a", null]'), ('policy.endorsements', '["a", " "]'), ('policy.endorsements', '["a", ["b"]]'), ('policy.endorsements', '{"a": "b"}'), ('policy.broker', '"Ann"'), ('policy.broker.phone', '2505550100'),
	('certificate_holder.name', 'null'), ('certificate_holder.name', to_jsonb(repeat('é', 2000))), ('certificate_holder.name', to_jsonb(repeat('é', 2000) || 'x')),
	('certificate_holder.additional_insured', 'null'), ('certificate_holder.additional_insured', '"true"'), ('certificate_holder.waiver_of_subrogation', '1'),
	('certificate_holder.reference_ids', '"KEL-001"'), ('certificate_holder.reference_ids.unit_id', '204'), ('documents', '[]'), ('documents.endorsements', '{}'),
	('documents.endorsements', '[null]'), ('documents.coi_pdf', '"x"')) AS v(path, value);
SELECT pg_temp.outcome(pg_temp.payload() || '{"policy": {"expiry_date": "x", "policy_number": 1}, "certificate_holder": 1}'),
	pg_temp.outcome(pg_temp.payload() || '{"certificate_holder": 1, "documents": 1}');

-- A holder in Quebec is taken, with a warning.
SELECT address, pg_temp.outcome(pg_temp.with_value('certificate_holder.address', to_jsonb(address))) FROM unnest(ARRAY['1 rue A, Montreal (Quebec) H2X 1Y4', 'h2x-1y4', 'G1A1A1, Quebec', 'J4K', 'J4K 2T5', E'QC\u00A0J4K 2T5\u2026', 'V1Y 1A1, then H2X 1Y4',
	'V1Y 1A1', 'GH2X 1Y4X', 'H2X 1Y4X', '1H2X 1Y4', 'H2X  1Y4', 'H2X.1Y4', 'H2X 1YY', 'H22 1Y4', 'H2X 1Y45', 'I2X 1Y4', 'H2X 1Y', 'H']) AS address;

-- Unknown fields are refused everywhere, also when they hold nothing, and named unless their name could be a number itself.
SELECT left(path, 60) AS path, pg_temp.outcome(pg_temp.with_value(path, value)) AS outcome FROM (VALUES ('notes', '"x"'::jsonb), ('policy.notes', '"x"'), ('policy.Policy_Number', '"x"'), ('policy.limits.deductible', '1'),
	('policy.broker.fax', '"1"'), ('policy.broker.fax', 'null'), ('certificate_holder.notes', 'null'), ('certificate_holder.reference_ids.building_id', '"1"'), ('documents.other', '{}'),
	('documents.coi_pdf', '{"name": "x"}'), ('documents.endorsements', '[{"url": "https://example.com/", "sha256": "x"}]'), ('policy.4111111111111111', '1'),
	('policy.ann@example', '1'), ('policy.' || repeat('x', 41), '1'), ('policy.', '1'), ('policy.' || repeat('iban ', 1000), '1')) AS v(path, value);

-- Documents: base64 or https, and the content decides what they are.
CREATE FUNCTION pg_temp.document(document jsonb) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.outcome(pg_temp.with_value('documents.coi_pdf', document)) $$;
SELECT document, pg_temp.document(document) AS outcome FROM unnest(ARRAY['{"content_type": "application/pdf"}', '{"base64": "JVBERi0="}', '{"content_type": "application/pdf", "base64": "", "url": " "}',
	'{"content_type": "application/pdf", "base64": "JVBERi0=", "url": "https://example.com/a"}', '{"content_type": "text/html", "base64": "JVBERi0="}', '{"content_type": 1, "base64": "JVBERi0="}',
	'{"content_type": "application/pdf", "base64": 1}', '{"content_type": "application/pdf", "base64": "JVBERi0"}', '{"content_type": "application/pdf", "base64": "JVBERi0=="}',
	'{"content_type": "application/pdf", "base64": "JVBERi1="}', '{"content_type": "application/pdf", "base64": "JVBE-i0="}', '{"content_type": "application/pdf", "base64": "QQ==JVBERi0="}',
	'{"content_type": "application/pdf", "base64": "===="}', '{"content_type": "application/pdf", "base64": "JVBERi0="}', '{"content_type": "application/pdf", "base64": "SGVsbG8="}',
	'{"url": "https://example.com/a.pdf"}', '{"content_type": "application/pdf", "url": "https://example.com"}', '{"content_type": "application/zip", "url": "https://example.com"}',
	'{"url": "http://example.com/a.pdf"}', '{"url": "https://"}', '{"url": "https:///a.pdf"}', '{"url": "https:/example.com/a.pdf"}', '{"url": "https://user:secret@example.com/a.pdf"}', '{"url": "file:///etc/passwd"}',
	'{"url": "example.com/a.pdf"}', '{"url": "HTTPS://example.com/a b"}', '{"url": 1}', '{"url": ["https://example.com"]}']::jsonb[]) AS document;
SELECT what, coalesce(content_type, '(any)') AS content_type, pg_temp.outcome(pg_temp.payload(), document, content_type) AS outcome
FROM (VALUES ('pdf', pg_temp.pdf()), ('png', pg_temp.png()), ('jpeg', pg_temp.jpeg())) AS d(what, document),
	(VALUES ('application/pdf'), ('image/png'), ('image/jpeg'), (NULL)) AS c(content_type);
SELECT what, pg_temp.outcome(pg_temp.payload(), document) AS outcome FROM (VALUES ('empty', ''::bytea), ('no end', substr(pg_temp.pdf(), 1, 100)), ('cut before the end', substr(pg_temp.pdf(), 1, length(pg_temp.pdf()) - 4)),
	('no version', overlay(pg_temp.pdf() PLACING '\x78'::bytea FROM 6)), ('version 3', overlay(pg_temp.pdf() PLACING '\x33'::bytea FROM 6)), ('version 2.0', overlay(pg_temp.pdf() PLACING '2.0'::bytea FROM 6)),
	('version 2.1', overlay(pg_temp.pdf() PLACING '2.1'::bytea FROM 6)), ('1,000 bytes before', decode(repeat('20', 1000), 'hex') || pg_temp.pdf()), ('1,020 bytes before', decode(repeat('20', 1020), 'hex') || pg_temp.pdf()),
	('1,000 bytes behind', pg_temp.pdf() || decode(repeat('20', 1000), 'hex')), ('1,024 bytes behind', pg_temp.pdf() || decode(repeat('20', 1024), 'hex')), ('HTML', '<html>%%EOF'::bytea), ('PNG without IHDR', overlay(pg_temp.png() PLACING '\x00'::bytea FROM 13)),
	('half a PNG', substr(pg_temp.png(), 1, 20)), ('JPEG without end', substr(pg_temp.jpeg(), 1, length(pg_temp.jpeg()) - 1)), ('JPEG of nothing', '\xffd8ffd9'::bytea)) AS d(what, document);
SELECT pg_temp.outcome(replace(pg_temp.example(), '{BASE64_PDF}', translate(encode(pg_temp.pdf(), 'base64'), E'\n', ''))::jsonb, pg_temp.pdf());
SELECT pg_temp.outcome(pg_temp.payload() - 'documents', pg_temp.pdf()), pg_temp.outcome(pg_temp.payload() || '{"documents": null}', pg_temp.pdf()), pg_temp.outcome(pg_temp.payload() || '{"documents": 1}', pg_temp.pdf()),
	pg_temp.outcome(pg_temp.payload(), pg_temp.pdf(), 'text/plain'), pg_temp.outcome(pg_temp.payload(), pg_temp.pdf(), '');
SET canopy_summit.max_document_size = 2;
SELECT bytes, pg_temp.outcome(pg_temp.payload(), document) AS argument,
	pg_temp.document(jsonb_build_object('content_type', 'application/pdf', 'base64', encode(document, 'base64'))) AS base64
FROM unnest(ARRAY[2048, 2049]) AS bytes,
	LATERAL (SELECT overlay(pg_temp.pdf() PLACING decode(repeat('20', bytes - length(pg_temp.pdf())), 'hex') FROM 20 FOR 0)) AS d(document);
RESET canopy_summit.max_document_size;

-- Names of fields that say that there is too much: told as such, however they are written and wherever they are.
SELECT path, pg_temp.outcome(pg_temp.with_value(path, '"x"')) AS outcome FROM unnest(ARRAY['iban', 'policy.accountNumber', 'certificate_holder.bank-account', 'policy.broker.Routing Number',
	'certificate_holder.reference_ids.ssn', 'certificate_holder.SIN', 'policy.limits.transit_number', 'documents.healthCard', 'certificate_holder.phn', 'policy.diagnosis', 'policy.Medications',
	'certificate_holder.iban_DE89370400440532013000', 'policy.holderAccountNumber', 'policy.broker2Iban']) AS path;
SELECT path, regexp_replace(pg_temp.outcome(pg_temp.with_value(path, '"x"')), E'\n.*', '') AS outcome FROM unnest(ARRAY['policy.banker', 'policy.sinking_fund', 'policy.pane', 'policy.panel', 'policy.since',
	'policy.account_manager', 'policy.embankment', 'policy.medic']) AS path;

SELECT rule_id, name FROM summit.minimisation_rule, unnest('{policy,policy_number,insurer_name,policy_type,effective_date,expiry_date,limits,per_occurrence,aggregate,
	cancellation_notice_days,endorsements,broker,name,phone,email,certificate_holder,address,contact_phone,additional_insured,waiver_of_subrogation,reference_ids,property_id,unit_id,lease_id,tenant_id,
	documents,coi_pdf,content_type,base64,url}'::text[]) AS name WHERE kind = 'key' AND name ~* pattern;

-- Numbers that must not get there, made here: each with its check digits.
CREATE FUNCTION pg_temp.luhn(number text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT number || (10 - sum(CASE WHEN (length(number) - n) % 2 = 0 THEN d * 2 - CASE WHEN d > 4 THEN 9 ELSE 0 END ELSE d END) % 10) % 10
	FROM generate_series(1, length(number)) n, LATERAL (SELECT substr(number, n, 1)::int) AS digit(d)
$$;
CREATE FUNCTION pg_temp.iban(country text, account text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT country || lpad((98 - string_agg(CASE WHEN c ~ '\d' THEN c ELSE (ascii(c) - 55)::text END, '' ORDER BY n)::numeric % 97)::text, 2, '0') || account
	FROM regexp_split_to_table(account || country || '00', '') WITH ORDINALITY AS s(c, n)
$$;
CREATE FUNCTION pg_temp.aba(number text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT number || (10 - sum((ARRAY[3, 7, 1])[(n - 1) % 3 + 1] * substr(number, n, 1)::int) % 10) % 10 FROM generate_series(1, 8) n
$$;
CREATE FUNCTION pg_temp.phn(number text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ -- NULL = there is none that begins so
	SELECT '9' || number || nullif(nullif(11 - sum((ARRAY[2, 4, 8, 5, 10, 9, 7, 3])[n] * substr(number, n, 1)::int % 11) % 11, 11), 10) FROM generate_series(1, 8) n
$$;
CREATE FUNCTION pg_temp.digits(count int) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT string_agg(floor(random() * 10)::int::text, '') FROM generate_series(1, count)
$$;
CREATE FUNCTION pg_temp.grouped(number text, VARIADIC lengths int[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ -- without, with blanks, with dashes
	SELECT ARRAY[number, string_agg(piece, ' ' ORDER BY i), string_agg(piece, '-' ORDER BY i)]
	FROM (SELECT i, substr(number, 1 + coalesce((SELECT sum(l) FROM unnest(lengths[:i - 1]) l), 0)::int, lengths[i]) FROM generate_subscripts(lengths, 1) i) AS p(i, piece)
$$;
SELECT pg_temp.luhn('411111111111111'), pg_temp.iban('DE', '370400440532013000'), pg_temp.iban('GB', 'NWBK60161331926819'), pg_temp.aba('02100002'), pg_temp.phn('99999999'), pg_temp.grouped('1234567', 3, 4);

SELECT setseed(0.20261122);
CREATE TEMP TABLE planted AS
SELECT kind, name, number FROM generate_series(1, 12) AS round,
	LATERAL (VALUES
		('payment card number', 'visa', pg_temp.grouped(pg_temp.luhn('4' || pg_temp.digits(14)), 4, 4, 4, 4)),
		('payment card number', 'visa 13', pg_temp.grouped(pg_temp.luhn('4' || pg_temp.digits(11)), 4, 4, 4, 1)),
		('payment card number', 'visa 19', pg_temp.grouped(pg_temp.luhn('4' || pg_temp.digits(17)), 4, 4, 4, 4, 3)),
		('payment card number', 'mastercard', pg_temp.grouped(pg_temp.luhn('5' || 1 + round % 5 || pg_temp.digits(13)), 4, 4, 4, 4)),
		('payment card number', 'mastercard 2', pg_temp.grouped(pg_temp.luhn((ARRAY['2221', '2229', '2230', '2299', '2300', '2599', '2600', '2699', '2700', '2719', '2720', '2720'])[round] || pg_temp.digits(11)), 4, 4, 4, 4)),
		('payment card number', 'american express', pg_temp.grouped(pg_temp.luhn((ARRAY['34', '37'])[1 + round % 2] || pg_temp.digits(12)), 4, 6, 5)),
		('payment card number', 'diners', pg_temp.grouped(pg_temp.luhn((ARRAY['300', '305', '360', '389', '390'])[1 + round % 5] || pg_temp.digits(10)), 4, 6, 4)),
		('payment card number', 'discover', pg_temp.grouped(pg_temp.luhn((ARRAY['6011', '6440', '6599'])[1 + round % 3] || pg_temp.digits(11)), 4, 4, 4, 4)),
		('payment card number', 'jcb', pg_temp.grouped(pg_temp.luhn((ARRAY['3528', '3529', '3589'])[1 + round % 3] || pg_temp.digits(11)), 4, 4, 4, 4)),
		('payment card number', 'maestro 18', pg_temp.grouped(pg_temp.luhn((ARRAY['5018', '5612', '6759'])[1 + round % 3] || pg_temp.digits(13)), 4, 4, 4, 4, 2)),
		('payment card number', 'interac 19', pg_temp.grouped(pg_temp.luhn('589297' || pg_temp.digits(12)), 6, 13)),
		('payment card number', 'unionpay 17', pg_temp.grouped(pg_temp.luhn('62' || pg_temp.digits(14)), 4, 4, 4, 4, 1)),
		('IBAN', 'germany', pg_temp.grouped(pg_temp.iban('DE', pg_temp.digits(18)), 4, 4, 4, 4, 4, 2)),
		('IBAN', 'united kingdom', pg_temp.grouped(pg_temp.iban('GB', 'NWBK' || pg_temp.digits(14)), 4, 4, 4, 4, 4, 2)),
		('IBAN', 'france', pg_temp.grouped(pg_temp.iban('FR', pg_temp.digits(10) || 'M' || pg_temp.digits(12)), 4, 4, 4, 4, 4, 4, 3)),
		('IBAN', 'norway', pg_temp.grouped(pg_temp.iban('NO', pg_temp.digits(11)), 4, 4, 4, 3)),
		('IBAN', 'malta', pg_temp.grouped(lower(pg_temp.iban('MT', 'MALT' || pg_temp.digits(23))), 4, 4, 4, 4, 4, 4, 4, 3)),
		('bank account number', 'canada', (pg_temp.grouped(pg_temp.digits(5) || '003' || pg_temp.digits(7), 5, 3, 7))[2:3] || (pg_temp.grouped('815' || pg_temp.digits(15), 3, 5, 10))[2:3]),
		('bank account number', 'canada, institution first', ARRAY[pg_temp.digits(3) || '-' || pg_temp.digits(5) || '-' || pg_temp.digits(7 + round % 6), '0' || pg_temp.digits(8) || '-' || pg_temp.digits(7)]),
		('bank account number', 'cheque', ARRAY['⑈001⑈ ⑆' || pg_temp.digits(5) || '⑉003⑆ ' || pg_temp.digits(7)]),
		('bank account number', 'routing', ARRAY['routing ' || pg_temp.aba((ARRAY['0210', '1110', '3230', '6210', '7230', '8000'])[1 + round % 6] || pg_temp.digits(4)), 'ABA no. ' || pg_temp.aba('0730' || pg_temp.digits(4)),
			pg_temp.aba('2730' || pg_temp.digits(4)) || ' (ABA)', 'Account: RTN ' || pg_temp.aba('0110' || pg_temp.digits(4))]),
		('bank account number', 'word', ARRAY['account ' || pg_temp.digits(7), 'ACCOUNT NUMBER IS ' || pg_temp.digits(8), 'Acct. ' || pg_temp.digits(3) || '-' || pg_temp.digits(3) || '-' || pg_temp.digits(1), 'Acct #' || pg_temp.digits(12), 'Account No.: ' || pg_temp.digits(6), 'Bank account number 12-' || pg_temp.digits(4) || '-' || pg_temp.digits(4),
			'a/c ' || pg_temp.digits(10), 'no de compte : ' || pg_temp.digits(9), 'Transit # 1' || pg_temp.digits(4), 'transit number: ' || pg_temp.digits(5)]),
		('health card number', 'ontario', ARRAY[1 + round % 9 || pg_temp.digits(3) || '-' || pg_temp.digits(3) || '-' || pg_temp.digits(3) || '-AB', 1 + round % 9 || pg_temp.digits(3) || ' ' || pg_temp.digits(3) || ' ' || pg_temp.digits(3) || ' xz',
			pg_temp.luhn(1 + round % 9 || pg_temp.digits(8)) || 'CD', 'OHIP ' || pg_temp.digits(10)]),
		('health card number', 'quebec', CASE WHEN round % 2 = 0 THEN ARRAY['RAMQ: TREM 9210 1513', 'no d''assurance maladie trem92101513'] ELSE ARRAY['carte d''assurance-maladie TREM ' || pg_temp.digits(4) || ' ' || pg_temp.digits(4)] END),
		('health card number', 'health card', ARRAY['health card ' || pg_temp.digits(4) || ' ' || pg_temp.digits(3) || ' ' || pg_temp.digits(3), 'Health Card No. ' || pg_temp.digits(9), 'Personal health number: ' || pg_temp.digits(12)])
	) AS v(kind, name, numbers), LATERAL unnest(numbers) AS n(number)
UNION ALL
SELECT 'health card number', 'british columbia', number FROM (SELECT pg_temp.phn(pg_temp.digits(8)) FROM generate_series(1, 20)) AS p(phn),
	LATERAL unnest(ARRAY['PHN ' || phn, 'MSP: ' || phn, 'CareCard #' || phn] || (pg_temp.grouped(phn, 4, 3, 3))[2:3]) AS n(number) WHERE phn IS NOT NULL
UNION ALL
SELECT 'health card number', 'quebec alone', number FROM unnest(pg_temp.grouped('TREM92101513', 4, 4, 4) || pg_temp.grouped('TREM92601513', 4, 8)) AS number;
SELECT kind, count(DISTINCT name) AS names, count(*) > 50 AS many FROM planted GROUP BY kind ORDER BY kind;

-- Every one of them is found in every text, alone or among other words, and named by its field and kind, never by itself.
CREATE FUNCTION pg_temp.problem(path text, value text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM canopy_summit.check_certificate(CASE WHEN path = 'policy.endorsements'
		THEN pg_temp.with_value(path, jsonb_build_array('CG 20 10 04 13', value)) ELSE pg_temp.with_value(path, to_jsonb(value)) END);
	RETURN NULL;
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN SQLERRM;
END
$$;
CREATE TEMP VIEW text_field AS SELECT * FROM unnest(ARRAY['policy.insurer_name', 'policy.endorsements', 'policy.broker.name', 'policy.broker.phone', 'policy.broker.email',
	'certificate_holder.name', 'certificate_holder.address', 'certificate_holder.email', 'certificate_holder.contact_phone']) AS path;
CREATE FUNCTION pg_temp.expected(kind text, path text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT format('%s%s: looks like a%s %s, which Summit does not accept', path, CASE path WHEN 'policy.endorsements' THEN '[1]' END, CASE kind WHEN 'IBAN' THEN 'n' END, kind)
$$;
SELECT problem, count(*) > 50 AS many FROM planted, text_field, LATERAL pg_temp.problem(path, number) AS p(problem)
WHERE problem = pg_temp.expected(kind, path) GROUP BY problem ORDER BY problem;
SELECT kind, name, path, number, problem FROM planted, text_field, LATERAL pg_temp.problem(path, number) AS p(problem)
WHERE problem IS DISTINCT FROM pg_temp.expected(kind, path) AND NOT (name = 'quebec alone' AND path = 'policy.endorsements') ORDER BY 1, 2, 3, 4 LIMIT 20;
SELECT frame, kind, name, number FROM planted, unnest(ARRAY['Suite 12, %s', '%s 12/27', 'x%s', '(%s)', 'Apt 4 %s, 123 Main St', E'%s\n250-555-0100', '%s 123', 'ann@example.com:%s;']) AS frame
WHERE NOT (frame = 'x%s' AND kind <> 'payment card number') AND NOT (frame IN ('%s 123', 'Apt 4 %s, 123 Main St') AND kind <> 'payment card number')
	AND pg_temp.problem('certificate_holder.address', format(frame, number)) IS NULL ORDER BY 1, 2, 3, 4 LIMIT 20;
-- As text editors write them: other blanks, dashes and digits.
SELECT kind, name, number FROM planted, LATERAL (VALUES (translate(number, ' -', U&'\00A0\2013')), (translate(number, '-', U&'\2011')), (translate(number, '0123456789', U&'\FF10\FF11\FF12\FF13\FF14\FF15\FF16\FF17\FF18\FF19')),
	(regexp_replace(number, '(\d)(?=\d)', U&'\\1\200B', 'g'))) AS v(written)
WHERE pg_temp.problem('certificate_holder.address', written) IS NULL ORDER BY 1, 2, 3 LIMIT 20;

-- A number whose check digits do not fit is only a number.
SELECT name, count(*) > 0 AS some, count(pg_temp.problem('certificate_holder.address', left(number, -1) || (right(number, 1)::int + 1) % 10)) AS found
FROM planted WHERE number ~ '^\d{13,}$' OR (kind = 'IBAN' AND number ~ '^\w+$') OR (name = 'british columbia' AND number !~ 'PHN') OR number ~ '^(routing|ABA)'
GROUP BY name ORDER BY name;

SELECT count(*), count(pg_temp.problem('certificate_holder.address', number)) AS found -- of another length than their country's, or of a country without
FROM generate_series(1, 50) n, LATERAL (VALUES (pg_temp.iban('DE', pg_temp.digits(19 + 0 * n))), (pg_temp.iban('CG', pg_temp.digits(18 + 0 * n)))) AS v(number);
SELECT pg_temp.problem('certificate_holder.address', '4111 1111 1111 1112, 4111 1111 1111 1111 and 4111 1111 1111 1113'); -- the second does

-- Policy numbers and reference ids may be anything.
SELECT count(*), count(*) FILTER (WHERE length(number) BETWEEN 13 AND 19) AS as_long_as_a_card,
	count(pg_temp.problem('policy.policy_number', number)) AS refused, count(pg_temp.problem('certificate_holder.reference_ids.tenant_id', number)) AS refused_as_id
FROM (SELECT pg_temp.digits(1 + n % 20) FROM generate_series(1, 10000) n) AS r(number);
SELECT count(*) > 100 AS many, count(pg_temp.problem('policy.policy_number', number)) AS refused, count(pg_temp.problem('certificate_holder.reference_ids.property_id', number)) AS refused_as_id FROM planted;

-- Words about health and money are no data; nor are addresses, telephone numbers and endorsements.
CREATE TEMP TABLE harmless (what text, value text);
INSERT INTO harmless SELECT 'name', unnest(ARRAY['Okanagan Health Clinic', 'Royal Bank Plaza', 'Interior Health Authority', 'Vancouver Coastal Health', 'Toronto-Dominion Centre', 'TD Bank Tower Ltd.',
	'Bank of Montreal Building', 'BMO Field Holdings', 'Scotia Plaza Inc.', 'CIBC Square', 'Commerce Court West', 'National Bank Financial Place', 'Caisse Desjardins du Plateau', 'Vancity Credit Union',
	'Coast Capital Savings', 'ATB Financial Place', 'HSBC Building', 'First Canadian Place', 'Bank Street Medical Centre', 'Riverbank Apartments', '1st Choice Savings & Credit Union', 'Account Services Group Inc.',
	'Transit Health Clinic', 'Routing & Transit Logistics 2000 Ltd.', 'The Dialysis Clinic', 'Kelowna Cancer Centre', 'Diabetes Care Clinic No. 3', 'St. Paul''s Hospital', 'Mount Sinai Hospital', 'Clinique Santé Plus',
	'Centre hospitalier de l''Université de Montréal', 'CLSC des Faubourgs', 'Pharmacie Jean Coutu #117', 'Shoppers Drug Mart 2204', 'London Drugs #72', 'Medication Management Inc.', 'Card Health Cares Ltd.', 'Health Card Printing Co.',
	'MSP Management 2019 Inc.', 'OHIP Billing Consultants', 'Swift Current Apartments', 'Sin City Lofts', 'IBAN Technologies Inc.', '1234567 Canada Inc.', '9876-5432 Québec inc.', '12345678 Ontario Limited', '0912345 B.C. Ltd.',
	'Strata Plan EPS 1234', 'The Owners, Strata Plan KAS 2501', 'Metropolitan Toronto Condominium Corporation No. 1234', '4111 Yonge Street Holdings', 'Allergy & Asthma Centre', 'Bank of Canada']);
INSERT INTO harmless SELECT 'address', unnest(ARRAY['123 Main St, Kelowna, BC V1Y 1A1', '4500 16 Ave NW, Calgary AB T3B 0M6', '10020 100 Street NW, Edmonton, AB T5J 0N3', 'Suite 1200, 12345 103 Avenue, Edmonton AB T5N 0M6', '200-1641 Commercial Dr, Vancouver BC V5L 3A4',
	'1055 W Georgia St #2100, Vancouver BC V6E 3P3', '5-5555 55 Ave, Red Deer AB T4N 5Y5', 'PO Box 4000 Stn A, Toronto ON M5W 0E1', 'RR 2 Site 12 Box 34, Vernon BC V1T 6L5', '1000, rue De La Gauchetière Ouest, bureau 900, Montréal (Québec) H3B 5H4',
	'Plan 1234567 Block 12 Lot 3, Airdrie AB', 'PID 012-345-678, Kelowna BC', 'LINC 0012 345 678, Calgary AB', 'P.O. Box 12345, 600 Bank St, Ottawa ON K1S 3T4', '3400-350 7 Ave SW, Calgary AB T2P 3N9',
	'2020 4567 Lougheed Hwy, Burnaby BC', 'Unit 101 - 4400 Dominion St, Burnaby, BC V5G 4G3', '60 Adelaide St E 13th Floor, Toronto ON M5C 3E4', '12345-67 Health Sciences Dr, Surrey BC', '100 Transit Rd, Victoria BC V8R 6M4', '9 Account Ave, Halifax NS B3H 1A1']);
INSERT INTO harmless SELECT 'phone', unnest(ARRAY['250-555-0100', '(250) 555-0100', '250.555.0100', '2505550100', '1-800-555-0100', '+1 250 555 0100', '+12505550100', '250-555-0100 ext. 1234', '250-555-0100 x12345', '1 (888) 555-0100, option 2',
	'416-555-0100 / 416-555-0101', '403 555 0100, 403 555 0101', '4035550100 4035550101', '3655550100 1234', '+44 20 7946 0958', '+49 151 12345678', '+4915112345678', '011 33 1 70 18 99 00', '905-555-0100 (health line)', '902 555 0100',
	'Account manager 604-555-0100', 'Accounts 604-555-0100', 'accounting: 6045550100', 'MSP desk 905-555-0100', 'Health Card Office 416-555-0100', 'routing desk 204-555-0100',
	'250-555-0100 x12345 / 250-555-0101', 'Seattle WA 98101 206-555-0100', 'PO Box 12345 250-555-0100', '101-12345 250-555-0100', '2505550100 ON 4165550100 BC']);
INSERT INTO harmless SELECT insurer, unnest(codes) FROM (VALUES
	('Intact', ARRAY['CG 20 10 04 13', 'CG 20 37 04 13', 'IBC 2100', 'IBC 2320 Standard Non-Owned Automobile']), ('Aviva', ARRAY['CG 24 04 05 09', 'CG 20 26', 'AVV 0042 01 2019', 'Additional Insured - Managers or Lessors of Premises']),
	('Wawanesa', ARRAY['IL 00 21 09 08', 'IL 00 17 11 98', 'W-4017E (2019/01)']), ('Northbridge', ARRAY['NBCF 2504 01 12', 'NBCF 0101 0113', 'NB 5000-123 Ed. 06/2020', 'NBCF 100404']), ('Economical', ARRAY['OPCF 44R', 'OPCF 27', 'OPCF 5 Permission to Rent or Lease']),
	('Co-operators', ARRAY['CP 10 30 06 07', 'CP 15 08', 'CGL 1001 (01-2020)']), ('RSA', ARRAY['RSA 9001-E', 'CG2010 0413 Additional Insured Owners Lessees', 'CG2037 0704']), ('Travelers Canada', ARRAY['CG D2 46 08 05', 'CG D4 17', 'CG T1 00 02 19']),
	('Chubb', ARRAY['80-02-2367 (Rev. 5-07)', '80-02-6541', '44-02-1269 Ed. 04 2014']), ('Zurich', ARRAY['U-GL-1175-F CW (04/13)', 'U-GL-925-B CW 12/01', 'CZ-0401']), ('AIG', ARRAY['61712 (12/06)', '90460 (6/06)', '124995 03/17 Cyber']),
	('Allianz', ARRAY['AGCS 1001 0119', 'AGLB-1110 09-10', 'BE16 0001 Broad Form Named Insured']), ('Liberty Mutual', ARRAY['LC 04 43 05 19', 'LG 3204 03 12', 'LIBC 2010 0413']), ('Gore Mutual', ARRAY['GM 4417 12/18', 'G.M. 100-2']),
	('Definity', ARRAY['SEF 44', 'SEF No. 6A', 'QEF 27', 'FAQ 20A']), ('Desjardins', ARRAY['F.A.Q. 43 (A à F)', 'BDI 5006 1', 'Avenant 101 - Assuré additionnel']), ('Markel', ARRAY['MEGL 0008-01 05 16', 'MAGL 1100 06 20']),
	('Lloyd''s', ARRAY['NMA 1256', 'LMA 5219', 'LSW 1565C', 'NMA2918', 'LMA5400 11 November 2019']), ('CNA', ARRAY['CNA75079XX (10-16)', 'CNA74705XX 1-15', 'SB300129A']), ('Berkley Canada', ARRAY['BC-CGL-0412', 'CG 20 15 12 19', 'Account Executive Endorsement 2025-001']),
	('Great American', ARRAY['IL 73 24', 'GAI 6009 06/97', 'DO-2012-15 Side A'])) AS v(insurer, codes);
SELECT count(DISTINCT what) - 3 AS insurers, count(*) FILTER (WHERE what = 'name') AS names, count(*) AS values FROM harmless;
SELECT path, value, pg_temp.problem(path, value) FROM harmless, text_field
WHERE (what IN ('name', 'address', 'phone') OR path = 'policy.endorsements') AND pg_temp.problem(path, value) IS NOT NULL ORDER BY 1, 2;
SELECT count(*), count(pg_temp.problem('certificate_holder.contact_phone', number)) AS refused
FROM (SELECT 2 + n % 8 || pg_temp.digits(2) || separator || 2 + n % 7 || pg_temp.digits(2) || separator || pg_temp.digits(4) || CASE n % 3 WHEN 0 THEN ' x' || pg_temp.digits(4) ELSE '' END
	FROM generate_series(1, 700) n, LATERAL (SELECT (ARRAY['-', '.', ' ', ''])[1 + n % 4]) AS s(separator)) AS r(number);

-- The rules are rows. A row of one's own wins over the built-in one, which stays.
SELECT kind, count(*), bool_and(builtin AND enabled AND comment <> '') AS as_shipped FROM summit.minimisation_rule GROUP BY kind ORDER BY kind;
SELECT pg_temp.problem('certificate_holder.name', 'IBAN DE89 3704 0044 0532 0130 00');
UPDATE summit.minimisation_rule SET enabled = false WHERE rule_id = 'iban';
SELECT pg_temp.problem('certificate_holder.name', 'IBAN DE89 3704 0044 0532 0130 00');
UPDATE summit.minimisation_rule SET enabled = true, exempt = '{certificate_holder.name,policy}' WHERE rule_id = 'iban';
SELECT rule_id, builtin, enabled, exempt FROM summit.minimisation_rule WHERE rule_id = 'iban' ORDER BY builtin;
SELECT path, pg_temp.problem(path, 'IBAN DE89 3704 0044 0532 0130 00') FROM text_field ORDER BY path;
UPDATE summit.minimisation_rule SET exempt = '{}', applies_to = '{policy.broker}' WHERE rule_id = 'iban' AND NOT builtin;
SELECT path, pg_temp.problem(path, 'IBAN DE89 3704 0044 0532 0130 00') FROM text_field ORDER BY path;
DELETE FROM summit.minimisation_rule WHERE rule_id = 'iban' AND NOT builtin;
SELECT pg_temp.problem('certificate_holder.name', 'IBAN DE89 3704 0044 0532 0130 00');
INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example) VALUES ('own', 'account', '\mZZ\d{3}\M', 'ZZ123'), ('own key', 'key', '^unit_id$', 'unitId');
SELECT pg_temp.problem('certificate_holder.name', 'a zz123 b'), pg_temp.problem('certificate_holder.name', 'a zz1234 b'), pg_temp.problem('policy.policy_number', 'a zz123 b'), pg_temp.problem('policy.insurer_name', 'x');
UPDATE summit.minimisation_rule SET exempt = '{}' WHERE rule_id = 'own key';
SELECT pg_temp.problem('policy.insurer_name', 'x');
UPDATE summit.minimisation_rule SET enabled = false WHERE rule_id LIKE 'own%';
SELECT pg_temp.problem('certificate_holder.name', 'a zz123 b');
CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, '  hint: ' || nullif(hint, ''));
END
$$;
SELECT pg_temp.failure(statement) FROM unnest(ARRAY[$$DELETE FROM summit.minimisation_rule WHERE rule_id = 'iban'$$,
	$$INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example, builtin) VALUES ('new', 'card', 'x', 'x1', true)$$, $$UPDATE summit.minimisation_rule SET builtin = true WHERE rule_id = 'own'$$,
	$$INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example) VALUES ('own', 'card', 'x', 'x1')$$, $$INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example) VALUES ('new', 'card', '(x', 'x1')$$,
	$$INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example) VALUES ('new', 'card', 'x*', 'x1')$$, $$INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example) VALUES ('new', 'words', 'x', 'x1')$$,
	$$INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example, checksum) VALUES ('new', 'card', 'x', 'x1', 'crc')$$,
	$$INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example) VALUES ('new', 'card', 'x', 'y1')$$, $$INSERT INTO summit.minimisation_rule (rule_id, kind, pattern) VALUES ('new', 'card', 'x')$$]) AS statement;
SELECT rule_id, builtin, enabled FROM summit.minimisation_rule WHERE NOT builtin OR rule_id = 'iban' ORDER BY 1, 2;

DROP EXTENSION canopy_summit CASCADE;
