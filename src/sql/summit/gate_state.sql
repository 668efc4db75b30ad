-- summit/gate_state.sql: rows of apps' own tables whose holders did not comply.
-- State.

CREATE SEQUENCE canopy_summit.gate_event_id_seq;
COMMENT ON SEQUENCE canopy_summit.gate_event_id_seq IS 'keys of canopy_summit.gate_event';

CREATE TABLE canopy_summit.gate_event (
	gate_event_id bigint NOT NULL,
	server text NOT NULL,
	source_table text NOT NULL,
	source_key jsonb,
	property_id text,
	unit_id text,
	lease_id text,
	tenant_id text,
	verdict text NOT NULL,
	codes text[] NOT NULL,
	requirement_ids bigint[] NOT NULL,
	judged_on date NOT NULL,
	happened_at timestamptz NOT NULL,
	happened_by name NOT NULL
);
CREATE UNIQUE INDEX gate_event_key ON canopy_summit.gate_event (gate_event_id);
ALTER TABLE canopy_summit.gate_event REPLICA IDENTITY USING INDEX gate_event_key;
COMMENT ON TABLE canopy_summit.gate_event IS 'rows that summit_require_compliant() let by though their holder did not comply, or nobody can tell';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.gate_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.gate_event', '');
