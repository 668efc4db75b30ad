-- engine/access_state.sql: who may do what, as data.
-- State. Its rows are replaceable: each stands beside its object, and an upgrade writes them anew.

CREATE TABLE canopy_summit.access_rule (
	level text NOT NULL,
	kind text NOT NULL,
	name text NOT NULL,
	privilege text NOT NULL
);
COMMENT ON TABLE canopy_summit.access_rule IS 'what levels may do, by names of functions, tables and schemas; canopy_summit.access_rules() adds what follows from where an object is';
COMMENT ON COLUMN canopy_summit.access_rule.level IS 'a level of canopy_summit.access_levels(); nobody: not even an admin';
