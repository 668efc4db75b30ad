-- summit/csv.sql: CSV in and out.
-- Replaceable.

CREATE FUNCTION canopy_summit.csv_text(bytes bytea) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_csv_text'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION canopy_summit.csv_text(bytea) IS
	'the bytes of a file as text, without a byte-order mark: UTF-8 if they can be, else Windows-1252; error 22021 for UTF-16 and for a NUL byte';

CREATE FUNCTION canopy_summit.csv_rows(csv text, delimiter text, OUT line bigint, OUT fields text[]) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_csv_rows'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION canopy_summit.csv_rows(text, text) IS
	'the records of a CSV as COPY reads them, with the number of their first line: as many fields as each has, NULL for one that is empty without quotes; errors are those of COPY';

CREATE FUNCTION canopy_summit.csv_line(cells text[], delimiter text) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_csv_line'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.csv_line(text[], text) IS
	'cells as a line of a CSV, by RFC 4180 and without its end; NULL is an empty cell';

SELECT canopy_summit.allow('nobody', 'function', 'csv_text csv_rows csv_line');
