-- canopy/document_state.sql: the bytes of documents, and what became of those that are not here.
-- State.
--
-- A row is about one file that somebody has asked for. Policy forms are the same for all pulls, and kept once.

CREATE DOMAIN canopy_summit.file_kind AS text CHECK (VALUE IN ('document', 'answer_file', 'policy_check', 'policy_form'));
COMMENT ON DOMAIN canopy_summit.file_kind IS
	'document of a pull; file that a consumer gave as an answer; PDF of a pull''s policy check; policy form';

CREATE DOMAIN canopy_summit.file_state AS text CHECK (VALUE IN ('wanted', 'here', 'refused', 'infested', 'not available'));
COMMENT ON DOMAIN canopy_summit.file_state IS
	'wanted -> here, refused, infested, not available; each of these -> each other when it is fetched again, but what is here stays when the server no longer has it';

CREATE TABLE canopy_summit.document_file (
	size bigint,
	fetched_at timestamptz,
	server text NOT NULL,
	owner_id text NOT NULL,
	file_id text NOT NULL,
	kind canopy_summit.file_kind NOT NULL,
	state canopy_summit.file_state NOT NULL,
	reason text,
	media_type text,
	sha256 text,
	scan text,
	content bytea
);
CREATE UNIQUE INDEX document_file_key ON canopy_summit.document_file
	(owner_id text_pattern_ops, file_id text_pattern_ops, server text_pattern_ops, kind);
ALTER TABLE canopy_summit.document_file REPLICA IDENTITY USING INDEX document_file_key;
-- PDFs and JPEGs are compressed already.
ALTER TABLE canopy_summit.document_file ALTER COLUMN content SET STORAGE EXTERNAL;

COMMENT ON TABLE canopy_summit.document_file IS 'documents, answer files, policy-check PDFs and policy forms: their bytes, or why those are not here';
COMMENT ON COLUMN canopy_summit.document_file.kind IS 'document, answer_file, policy_check or policy_form';
COMMENT ON COLUMN canopy_summit.document_file.owner_id IS 'the pull; empty of a policy form, which many pulls share';
COMMENT ON COLUMN canopy_summit.document_file.file_id IS 'document_id, file_id or policy_form_id; of a policy check the pull_id';
COMMENT ON COLUMN canopy_summit.document_file.state IS
	'here; wanted: a job fetches it, or the next one of its pull will; refused: not what it should be, too large or not scanned; infested; not available: the server does not have it';
COMMENT ON COLUMN canopy_summit.document_file.reason IS 'why it is in that state, or what came of the last try; of an infested file what the scanner calls the virus';
COMMENT ON COLUMN canopy_summit.document_file.media_type IS 'what it is by its bytes, whatever the server says: application/pdf, image/jpeg or image/png';
COMMENT ON COLUMN canopy_summit.document_file.size IS 'bytes';
COMMENT ON COLUMN canopy_summit.document_file.sha256 IS 'SHA-256 of the bytes, hexadecimal';
COMMENT ON COLUMN canopy_summit.document_file.scan IS 'what the virus scanner said: clean, infested, too large to scan, or not scanned';
COMMENT ON COLUMN canopy_summit.document_file.fetched_at IS 'start of the request that brought it';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.document_file', '');
