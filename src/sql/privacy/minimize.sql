-- privacy/minimize.sql: built-in rules of data minimisation stay as they are.
-- Replaceable.

CREATE TRIGGER minimisation_rule_add BEFORE INSERT ON summit.minimisation_rule
	FOR EACH ROW WHEN (NEW.builtin) EXECUTE FUNCTION canopy_summit.builtin_keep('rule', 'rule_id', 'UPDATE summit.minimisation_rule SET enabled = false WHERE rule_id = ...');
CREATE TRIGGER minimisation_rule_change BEFORE UPDATE ON summit.minimisation_rule
	FOR EACH ROW WHEN (OLD.builtin OR NEW.builtin) EXECUTE FUNCTION canopy_summit.builtin_keep('rule', 'rule_id', 'UPDATE summit.minimisation_rule SET enabled = false WHERE rule_id = ...');
CREATE TRIGGER minimisation_rule_delete BEFORE DELETE ON summit.minimisation_rule
	FOR EACH ROW WHEN (OLD.builtin) EXECUTE FUNCTION canopy_summit.builtin_keep('rule', 'rule_id', 'UPDATE summit.minimisation_rule SET enabled = false WHERE rule_id = ...');

SELECT canopy_summit.allow('manager admin', 'table', 'summit.minimisation_rule', 'SELECT, INSERT, UPDATE, DELETE');
