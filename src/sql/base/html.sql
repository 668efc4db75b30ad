-- base/html.sql: HTML from outside, made safe.
-- Replaceable.

CREATE FUNCTION canopy_summit.sanitize_html(html text) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_sanitize_html'
LANGUAGE C IMMUTABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION canopy_summit.sanitize_html(text) IS
	'HTML from a carrier, such as login_error_message, made safe to show: text, links to http, https, mailto and tel, and simple markup';

SELECT canopy_summit.allow('pii_reader', 'function', 'sanitize_html');
