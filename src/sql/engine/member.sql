-- engine/member.sql: what the extension consists of, and how a file says who may use what it makes.
-- Replaceable.

CREATE FUNCTION canopy_summit.members(OUT classid oid, OUT objid oid, OUT is_new boolean) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 400
BEGIN ATOMIC
	-- What the running script has made, of an installation or an upgrade, is as old as the extension's own row.
	SELECT d.classid, d.objid, d.xmin = e.xmin
	FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'canopy_summit'
	WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e';
END;
COMMENT ON FUNCTION canopy_summit.members() IS 'objects of the extension; is_new: made by the script that installed or upgraded it last';

-- Nothing is granted to PUBLIC. A level is a set of grants; the rows are written anew by every script.
DELETE FROM canopy_summit.access_rule;

CREATE FUNCTION canopy_summit.allow(levels text, kind text, names text, privilege text DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	INSERT INTO canopy_summit.access_rule
	SELECT l.level, allow.kind, n.name,
		coalesce(allow.privilege, CASE allow.kind WHEN 'function' THEN 'EXECUTE' WHEN 'schema' THEN 'USAGE' ELSE 'SELECT' END)
	FROM string_to_table(allow.levels, ' ') AS l(level), string_to_table(allow.names, ' ') AS n(name);
END;
COMMENT ON FUNCTION canopy_summit.allow(text, text, text, text) IS
	'gives levels a privilege on objects of a kind, both lists with blanks between: EXECUTE on functions of these names in any schema, SELECT on a table or view, USAGE of a schema unless another is named';
SELECT canopy_summit.allow('nobody', 'function', 'allow');
