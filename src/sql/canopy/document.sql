-- canopy/document.sql: fetching, wanting and reading files.
-- Replaceable.

CREATE FUNCTION canopy_summit.stored_file(content bytea) RETURNS bytea
AS 'MODULE_PATHNAME', 'canopy_summit_stored'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.stored_file(bytea) IS 'the bytes that document_file.content holds';

CREATE FUNCTION @extschema@.canopy_fetch_document(pull_id text, INOUT document_id text, server name DEFAULT NULL,
	OUT media_type text, OUT bytes bigint, OUT sha256 text, OUT changed boolean)
AS 'MODULE_PATHNAME', 'canopy_summit_fetch_document'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.canopy_fetch_document(text, text, name) IS
	'fetches a document from Canopy Connect, has it scanned for viruses where canopy_summit.clamd_socket is set, and stores it; what it is by its bytes, how many there are, their SHA-256, and whether other bytes are here now; a WARNING says that it is kept out';

CREATE FUNCTION @extschema@.canopy_enqueue_documents(pull_id text, which text DEFAULT 'true', server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_enqueue_documents'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION @extschema@.canopy_enqueue_documents(text, text, name) IS
	'has those files of a stored pull fetched in the background that are not here; which is a value of server option download_documents; returns the number of jobs';

-- What a pull names, and the operation that brings it. Keys of at most 512 bytes; longer ones fit into no index.
CREATE FUNCTION canopy_summit.files_of_pull(server text, pull_id text, OUT kind text, OUT type text, OUT owner_id text, OUT file_id text,
	OUT operation text, OUT params jsonb)
RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT f.* FROM (
		SELECT 'document', d.document_type, d.pull_id, d.document_id, 'download-document-by-id',
			jsonb_build_object('pullId', d.pull_id, 'documentId', d.document_id)
		FROM canopy_summit.document d
		WHERE d.server = files_of_pull.server AND d.pull_id = files_of_pull.pull_id
		UNION ALL
		SELECT 'answer_file', 'answer_file', a.pull_id, a.file_id, 'download-file-by-id', jsonb_build_object('pullId', a.pull_id,
			'answerId', coalesce(substring(a.download_url FROM '/answers/([^/?#]+)/files/'), a.consumer_flow_section_field_id), 'fileId', a.file_id)
		FROM canopy_summit.answer_file a
		WHERE a.server = files_of_pull.server AND a.pull_id = files_of_pull.pull_id
		UNION ALL
		SELECT 'policy_check', 'policy_check', p.pull_id, p.pull_id, 'get-pull-policy-check-pdf', jsonb_build_object('pullId', p.pull_id)
		FROM canopy_summit.pull p
		WHERE p.server = files_of_pull.server AND p.pull_id = files_of_pull.pull_id AND p.policy_check_status <> 'NONE'
		UNION ALL
		SELECT DISTINCT 'policy_form', 'policy_form', '', o.policy_form_id, 'download-policy-form-by-id',
			jsonb_build_object('policyFormId', o.policy_form_id)
		FROM canopy_summit.policy_form o
		WHERE o.server = files_of_pull.server AND o.pull_id = files_of_pull.pull_id AND o.pdf_available) AS f(kind, type, owner_id, file_id, operation, params)
	WHERE octet_length(f.file_id) BETWEEN 1 AND 512;
END;
COMMENT ON FUNCTION canopy_summit.files_of_pull(text, text) IS
	'files that a pull names, and how each is asked for; a policy form only once its PDF is available';

CREATE FUNCTION canopy_summit.want_files(server text, which text, pull_id text, again boolean, OUT operation text, OUT params jsonb,
	OUT dedupe_key text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	-- Policy forms belong to no pull.
	PERFORM canopy_summit.follow('document_file', 'owner_id', want_files.server, ARRAY[want_files.pull_id, '']);
	RETURN QUERY WITH file AS MATERIALIZED (
		SELECT f.* FROM canopy_summit.files_of_pull(want_files.server, want_files.pull_id) AS f
		WHERE CASE WHEN want_files.which ~* '^ *(t|tr|tru|true|y|ye|yes|on|1) *$' THEN f.kind <> 'policy_form'
				ELSE f.type = ANY (regexp_split_to_array(trim(want_files.which), ' *, *')) END
			AND (want_files.again OR EXISTS (SELECT FROM canopy_summit.pull p
				WHERE p.server = want_files.server AND p.pull_id = want_files.pull_id AND p.status = 'SUCCESS'))),
	wanted AS (
		INSERT INTO canopy_summit.document_file AS h (server, kind, owner_id, file_id, state)
		SELECT DISTINCT want_files.server, f.kind, f.owner_id, f.file_id, 'wanted' FROM file f
		-- The job of one that is wanted may have been cancelled, or lost its worker too often.
		ON CONFLICT (server, kind, owner_id, file_id) DO UPDATE SET state = 'wanted', reason = NULL
			WHERE want_files.again AND h.state <> 'here' OR h.state = 'wanted'
		RETURNING kind, owner_id, file_id),
	-- The PDF of a check, or that there was none, tells what the pull did then.
	outdated AS (
		SELECT h.kind, h.owner_id, h.file_id FROM file f JOIN canopy_summit.document_file h
			ON h.server = want_files.server AND h.kind = f.kind AND h.owner_id = f.owner_id AND h.file_id = f.file_id
		WHERE f.kind = 'policy_check' AND h.state <> 'wanted' AND h.fetched_at < (
			SELECT max(v.fetched_at) FROM canopy_summit.pull_version v
			WHERE v.server = want_files.server AND v.pull_id = want_files.pull_id))
	-- A server that may redirect nowhere is asked at the older routes.
	SELECT CASE WHEN EXISTS (SELECT FROM pg_foreign_server s CROSS JOIN LATERAL pg_options_to_table(s.srvoptions) AS o
				WHERE s.srvname = want_files.server AND o.option_name = 'download_hosts') THEN f.operation
			ELSE CASE f.kind WHEN 'document' THEN 'get-document-by-id' WHEN 'policy_form' THEN 'get-policy-form-by-id' ELSE f.operation END END,
		f.params, 'file ' || md5(concat_ws(' ', f.kind, f.owner_id, f.file_id))
	FROM (TABLE wanted UNION TABLE outdated) AS w JOIN file f ON (f.kind, f.owner_id, f.file_id) = (w.kind, w.owner_id, w.file_id);
END
$$;
COMMENT ON FUNCTION canopy_summit.want_files(text, text, text, boolean) IS
	'notes which files of a pull are wanted, by a value of option download_documents; returns the jobs that bring those of a complete pull that are wanted, or, if again, all that are not here, and the PDF of a policy check that is older than the pull';

SELECT canopy_summit.define_view('canopy.document_file', obj_description('canopy_summit.document_file'::regclass, 'pg_class'), $view$
SELECT f.server, canopy_summit.server_environment(f.server) AS environment, f.kind, f.owner_id, f.file_id, f.state, f.reason, f.media_type,
	f.size, f.sha256, f.scan, f.fetched_at, canopy_summit.stored_file(f.content) AS content
FROM canopy_summit.document_file f$view$, $notes$
content: the bytes$notes$);

CREATE FUNCTION @extschema@.canopy_document(pull_id text, document_id text, server name DEFAULT NULL) RETURNS bytea
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	named CONSTANT text := coalesce(canopy_document.server::text, nullif(current_setting('canopy_summit.canopy_server', true), ''), 'canopy');
	file canopy.document_file;
BEGIN
	SELECT * INTO file FROM canopy.document_file f
	WHERE f.server = ANY (named || canopy_summit.former_names(named))
		AND f.kind = 'document' AND f.owner_id = canopy_document.pull_id AND f.file_id = canopy_document.document_id;
	IF file.content IS NULL THEN
		RAISE EXCEPTION 'document "%" is not here', document_id USING ERRCODE = '02000', HINT = CASE
			WHEN file.state IS NULL THEN 'Fetch it: SELECT * FROM canopy_fetch_document(pull_id, document_id).'
			WHEN file.state = 'wanted' AND file.reason IS NULL THEN 'A job fetches it; see canopy_summit.job_status, and view canopy.document for its state.'
			WHEN file.state = 'here' THEN 'Its bytes are personal: that needs level pii_reader of canopy_summit.grant_access().'
			ELSE concat_ws(': ', 'It is ' || file.state, file.reason) || '. To try again: SELECT * FROM canopy_fetch_document(pull_id, document_id).' END;
	END IF;
	RETURN file.content;
END
$$;
COMMENT ON FUNCTION @extschema@.canopy_document(text, text, name) IS 'the bytes of a document that is here; error 02000 if it is not, whose hint says why';

SELECT canopy_summit.allow('fetcher', 'function', 'canopy_fetch_document canopy_enqueue_documents');
SELECT canopy_summit.allow('pii_reader', 'function', 'canopy_document');
SELECT canopy_summit.allow('reader', 'function', 'stored_file');
SELECT canopy_summit.allow('nobody', 'function', 'files_of_pull want_files');
