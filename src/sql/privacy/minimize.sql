-- privacy/minimize.sql: built-in rules of data minimisation stay as they are.
-- Replaceable.

-- Keeps the built-in rows: an UPDATE adds the row that wins, once.
CREATE FUNCTION canopy_summit.minimisation_rule_keep() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		RAISE EXCEPTION 'rule "%" is built in and cannot be deleted', OLD.rule_id
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'Disable it: UPDATE summit.minimisation_rule SET enabled = false WHERE rule_id = ...; to return to it, delete the row of that rule_id that is not built in.';
	END IF;
	IF TG_OP = 'INSERT' OR NOT OLD.builtin THEN
		RAISE EXCEPTION 'rule "%" is not built in', NEW.rule_id
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Only the extension adds rules that are.';
	END IF;
	NEW.builtin = false;
	INSERT INTO summit.minimisation_rule VALUES (NEW.*) ON CONFLICT (rule_id, builtin) DO NOTHING;
	RETURN OLD;
END
$$;
COMMENT ON FUNCTION canopy_summit.minimisation_rule_keep() IS 'trigger: leaves a built-in rule as it is and adds the changed one, which wins over it';

CREATE TRIGGER minimisation_rule_add BEFORE INSERT ON summit.minimisation_rule
	FOR EACH ROW WHEN (NEW.builtin) EXECUTE FUNCTION canopy_summit.minimisation_rule_keep();
CREATE TRIGGER minimisation_rule_change BEFORE UPDATE ON summit.minimisation_rule
	FOR EACH ROW WHEN (OLD.builtin OR NEW.builtin) EXECUTE FUNCTION canopy_summit.minimisation_rule_keep();
CREATE TRIGGER minimisation_rule_delete BEFORE DELETE ON summit.minimisation_rule
	FOR EACH ROW WHEN (OLD.builtin) EXECUTE FUNCTION canopy_summit.minimisation_rule_keep();

SELECT canopy_summit.allow('admin', 'table', 'summit.minimisation_rule', 'INSERT, UPDATE, DELETE');
