-- pull/rename_state.sql: servers that get another name, or go.
-- State, and the functions that event triggers name when they are made.

CREATE TABLE canopy_summit.dropped_server (
	name text NOT NULL,
	dropped_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX dropped_server_key ON canopy_summit.dropped_server (name text_pattern_ops);
ALTER TABLE canopy_summit.dropped_server REPLICA IDENTITY USING INDEX dropped_server_key;
COMMENT ON TABLE canopy_summit.dropped_server IS 'servers that were dropped while rows had their name, which a new server of that name takes over';
COMMENT ON COLUMN canopy_summit.dropped_server.name IS 'name that the server had last, and its rows have';

-- What is open, or will be tried again, of renames: writers ask for it.
CREATE INDEX task_rename ON canopy_summit.task ((args ->> 'former')) WHERE what = 'rename' AND state <> 'done';

-- They fire in sessions that apply changes of others, too: a name that rows do not follow would be lost.
CREATE FUNCTION canopy_summit.note_server_name() RETURNS event_trigger
AS 'MODULE_PATHNAME', 'canopy_summit_note_server_name'
LANGUAGE C;
COMMENT ON FUNCTION canopy_summit.note_server_name() IS
	'event trigger: has the rows of a server that is renamed follow it, and refuses a name that rows of another server have';

CREATE EVENT TRIGGER canopy_summit_rename ON ddl_command_end
	WHEN TAG IN ('CREATE SERVER', 'ALTER SERVER')
	EXECUTE FUNCTION canopy_summit.note_server_name();
ALTER EVENT TRIGGER canopy_summit_rename ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER canopy_summit_rename IS 'has the rows of a server that is renamed follow it';

CREATE FUNCTION canopy_summit.note_dropped_servers() RETURNS event_trigger
AS 'MODULE_PATHNAME', 'canopy_summit_note_dropped_servers'
LANGUAGE C;
COMMENT ON FUNCTION canopy_summit.note_dropped_servers() IS 'event trigger: notes which servers were dropped while rows had their name';

CREATE EVENT TRIGGER canopy_summit_dropped_server ON sql_drop
	WHEN TAG IN ('DROP SERVER', 'DROP OWNED')
	EXECUTE FUNCTION canopy_summit.note_dropped_servers();
ALTER EVENT TRIGGER canopy_summit_dropped_server ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER canopy_summit_dropped_server IS 'notes which servers were dropped while rows had their name';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.dropped_server', '');
