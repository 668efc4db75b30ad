-- summit/export_state.sql: how certificates are written for property systems, and what of it a system has.
-- State.
--
-- Built-in rows come with the extension and stay as they are; a row of one's own wins over one that is, first one for
-- the server, then one for every server.

CREATE TABLE summit.export_system (
	server text NOT NULL DEFAULT '',
	system text NOT NULL,
	header boolean NOT NULL DEFAULT true,
	bom boolean NOT NULL DEFAULT false,
	delimiter text NOT NULL DEFAULT ',' CHECK (delimiter IN (',', ';', chr(9), '|')),
	line_end text NOT NULL DEFAULT 'LF' CHECK (line_end IN ('LF', 'CRLF')),
	-- All but one can be converted to.
	encoding text NOT NULL DEFAULT 'UTF8' CHECK (pg_catalog.pg_char_to_encoding(encoding) >= 0
		AND pg_catalog.pg_char_to_encoding(encoding) <> pg_catalog.pg_char_to_encoding('MULE_INTERNAL')),
	formulas text NOT NULL DEFAULT 'keep' CHECK (formulas IN ('keep', 'quote')),
	separator text NOT NULL DEFAULT '; ' CHECK (separator <> ''),
	builtin boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX export_system_key ON summit.export_system (system, server, builtin);
ALTER TABLE summit.export_system REPLICA IDENTITY USING INDEX export_system_key;
COMMENT ON TABLE summit.export_system IS 'how the file for a property system is written; a row of one''s own wins over the built-in one of the same system';

CREATE TABLE summit.export_column (
	server text NOT NULL DEFAULT '',
	system text NOT NULL,
	position integer NOT NULL CHECK (position BETWEEN 1 AND 200),
	heading text NOT NULL,
	source text,
	date_style text NOT NULL DEFAULT 'YYYY-MM-DD' CHECK (date_style IN ('YYYY-MM-DD', 'MM/DD/YYYY', 'M/D/YYYY', 'DD/MM/YYYY', 'YYYYMMDD')),
	boolean_style text NOT NULL DEFAULT 'true/false' CHECK (boolean_style IN ('true/false', '1/0', 'T/F', 'Yes/No', 'Y/N')),
	money_style text NOT NULL DEFAULT 'plain' CHECK (money_style IN ('plain', 'integer', 'fixed')),
	required boolean NOT NULL DEFAULT false,
	builtin boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX export_column_key ON summit.export_column (system, server, position, builtin);
ALTER TABLE summit.export_column REPLICA IDENTITY USING INDEX export_column_key;
COMMENT ON TABLE summit.export_column IS 'columns of the file for a property system, and the style of each; a row of one''s own wins over the built-in one of the same system and position';

INSERT INTO summit.export_system (system, builtin) VALUES ('yardi', true), ('buildium', true), ('entrata', true), ('realpage', true);

INSERT INTO summit.export_column (system, position, heading, source, required, builtin)
SELECT s.system, c.position, c.heading, m.source, m.required, true
FROM (VALUES
	('yardi', 'PropertyID,UnitID,LeaseID,ResidentID,Property Name,Custom Field: Additional Insured,Custom Field: Waiver,Policy Number,Carrier,Policy Type,Effective Date,Expiration Date,Per Occurrence,General Aggregate,Cancel Notice,Endorsements,COI Document'),
	('buildium', 'Property ID,Unit,Lease ID,Resident/Tenant,Property Name,Custom Field,Custom Field,Policy Number,Carrier,Coverage Type,Effective Date,Expiration Date,CGL Per Occurrence,CGL Aggregate,Cancellation Notice,Endorsements,Insurance Certificate'),
	('entrata', 'PropertyId,UnitId,LeaseId,ResidentId,PropertyName,Custom Field,Custom Field,PolicyNumber,Carrier,CoverageType,EffectiveDate,ExpirationDate,LimitPerOccurrence,LimitAggregate,CancellationNoticeDays,Endorsements,InsuranceCertificate'),
	('realpage', 'Property Code,Unit,Lease,Resident,Property Name,Custom Field,Custom Field,Policy Number,Carrier,Policy Type,Effective Date,Expiration Date,Per Occurrence,Aggregate,Cancellation Notice,Endorsements,Certificate'))
	AS s(system, headings),
	LATERAL string_to_table(s.headings, ',') WITH ORDINALITY AS c(heading, position)
	JOIN (VALUES (1, 'property_id', true), (2, 'unit_id', false), (3, 'lease_id', false), (4, 'tenant_id', false), (5, 'holder_name', false),
		(6, 'additional_insured', false), (7, 'waiver_of_subrogation', false), (8, 'policy_number', true), (9, 'insurer_name', false),
		(10, 'policy_type', false), (11, 'effective_date', false), (12, 'expiry_date', false), (13, 'per_occurrence', false),
		(14, 'aggregate', false), (15, 'cancellation_notice_days', false), (16, 'endorsements', false), (17, 'coi_document', false))
		AS m(position, source, required) USING (position);

-- Systems that have asked for what changed: their lines are kept.
CREATE TABLE canopy_summit.export_feed (
	server text NOT NULL,
	system text NOT NULL,
	instance bigint NOT NULL,
	made_at timestamptz,
	style bytea
);
CREATE UNIQUE INDEX export_feed_key ON canopy_summit.export_feed (system, server);
ALTER TABLE canopy_summit.export_feed REPLICA IDENTITY USING INDEX export_feed_key;
COMMENT ON TABLE canopy_summit.export_feed IS 'property systems whose lines are kept, so that they can be told what changed';
COMMENT ON COLUMN canopy_summit.export_feed.made_at IS 'when all lines were last made; NULL: they have to be';
COMMENT ON COLUMN canopy_summit.export_feed.style IS 'digest of the styles with which they were made';

CREATE TABLE canopy_summit.export_line (
	server text NOT NULL,
	system text NOT NULL,
	row_key text NOT NULL,
	line canopy_summit.personal_text,
	changed_xid xid8 NOT NULL,
	changed_at timestamptz NOT NULL,
	acknowledged_line canopy_summit.personal_text,
	acknowledged_at timestamptz,
	refused_line canopy_summit.personal_text,
	message canopy_summit.personal_text,
	remote_id canopy_summit.provider_id
);
CREATE UNIQUE INDEX export_line_key ON canopy_summit.export_line (row_key, system, server);
ALTER TABLE canopy_summit.export_line REPLICA IDENTITY USING INDEX export_line_key;
CREATE INDEX export_line_changed ON canopy_summit.export_line (system, server, changed_xid);
CREATE INDEX export_line_open ON canopy_summit.export_line (system, server)
	WHERE line IS DISTINCT FROM acknowledged_line;
COMMENT ON TABLE canopy_summit.export_line IS 'lines of exports as they are, and as each system has acknowledged them';
COMMENT ON COLUMN canopy_summit.export_line.row_key IS 'the certificate: its policy_status_id';
COMMENT ON COLUMN canopy_summit.export_line.line IS 'as it is exported now; NULL: it is not any more';
COMMENT ON COLUMN canopy_summit.export_line.changed_xid IS 'transaction that changed it';
COMMENT ON COLUMN canopy_summit.export_line.acknowledged_line IS 'as the system has it; empty: it has it in another form';
COMMENT ON COLUMN canopy_summit.export_line.refused_line IS 'as the system has refused it';
COMMENT ON COLUMN canopy_summit.export_line.remote_id IS 'the system''s own id of it, where its message tells';
COMMENT ON COLUMN canopy_summit.export_line.message IS 'what the system said of it';

-- A queue, so that a transaction that commits late is not passed over.
CREATE SEQUENCE canopy_summit.export_pending_id_seq;
COMMENT ON SEQUENCE canopy_summit.export_pending_id_seq IS 'keys of canopy_summit.export_pending';
CREATE TABLE canopy_summit.export_pending (
	pending_id bigint NOT NULL,
	policy_status_id bigint NOT NULL
);
CREATE UNIQUE INDEX export_pending_key ON canopy_summit.export_pending (pending_id);
ALTER TABLE canopy_summit.export_pending REPLICA IDENTITY USING INDEX export_pending_key;
COMMENT ON TABLE canopy_summit.export_pending IS 'certificates that have changed since their lines were made';

CREATE SEQUENCE canopy_summit.disclosure_id_seq;
COMMENT ON SEQUENCE canopy_summit.disclosure_id_seq IS 'keys of canopy_summit.disclosure';
CREATE TABLE canopy_summit.disclosure (
	disclosure_id bigint NOT NULL,
	server text NOT NULL,
	system text NOT NULL,
	property_id text,
	from_country text NOT NULL,
	to_country text NOT NULL,
	rows bigint NOT NULL,
	disclosed_at timestamptz NOT NULL,
	disclosed_by name NOT NULL
);
CREATE UNIQUE INDEX disclosure_key ON canopy_summit.disclosure (disclosure_id);
ALTER TABLE canopy_summit.disclosure REPLICA IDENTITY USING INDEX disclosure_key;
COMMENT ON TABLE canopy_summit.disclosure IS 'exports of personal data to another country than the server''s';

SELECT pg_catalog.pg_extension_config_dump('summit.export_system', 'WHERE NOT builtin');
SELECT pg_catalog.pg_extension_config_dump('summit.export_column', 'WHERE NOT builtin');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.export_feed', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.export_line', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.export_pending_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.disclosure_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.disclosure', '');
