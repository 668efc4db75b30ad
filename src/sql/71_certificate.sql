-- 71_certificate.sql: certificates of insurance as Summit takes them.
-- Replaceable.

CREATE FUNCTION canopy_summit.check_certificate(payload jsonb, coi bytea DEFAULT NULL, content_type text DEFAULT 'application/pdf',
	OUT body jsonb, OUT warnings jsonb)
AS 'MODULE_PATHNAME', 'canopy_summit_check_certificate'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION canopy_summit.check_certificate(jsonb, bytea, text) IS
	'checks a payload as an upload does and returns the body that would be sent, with warnings as [{"field", "message"}]; sends and stores nothing';
