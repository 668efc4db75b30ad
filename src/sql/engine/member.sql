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

-- Tables that come with rows keep them: an UPDATE adds the row that wins, once.
CREATE FUNCTION canopy_summit.builtin_keep() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name CONSTANT text := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END) ->> TG_ARGV[1];
BEGIN
	IF TG_OP = 'DELETE' THEN
		RAISE EXCEPTION '% "%" is built in and cannot be deleted', TG_ARGV[0], name
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = format('Disable it: %s; to return to it, delete the row of that %s that is not built in.', TG_ARGV[2], TG_ARGV[1]);
	END IF;
	IF TG_OP = 'INSERT' OR NOT OLD.builtin THEN
		RAISE EXCEPTION '% "%" is not built in', TG_ARGV[0], name
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = format('Only the extension adds %ss that are.', TG_ARGV[0]);
	END IF;
	NEW.builtin = false;
	EXECUTE format('INSERT INTO %s SELECT ($1).* ON CONFLICT DO NOTHING', TG_RELID::regclass) USING NEW;
	RETURN OLD;
END
$$;
COMMENT ON FUNCTION canopy_summit.builtin_keep() IS
	'trigger: leaves a built-in row as it is and adds the changed one, which wins over it; its arguments are what a row is, the column that names it, and how to do without it';
