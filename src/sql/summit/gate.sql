-- summit/gate.sql: asking on an app's own table whether a holder complies.
-- Replaceable.
--
-- Nobody chooses by a setting which server is asked: those that have the property, of production if there is one.

CREATE FUNCTION canopy_summit.gate_servers(property_id text, OUT server text, OUT today date) RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH known AS (
		SELECT y.server, (statement_timestamp() AT TIME ZONE y.time_zone)::date AS today,
			canopy_summit.server_environment(y.server) = 'production' AS is_production
		FROM summit.property y WHERE y.property_id = gate_servers.property_id)
	SELECT k.server, k.today FROM known k
	WHERE k.is_production OR NOT EXISTS (SELECT FROM known p WHERE p.is_production);
END;
COMMENT ON FUNCTION canopy_summit.gate_servers(text) IS 'servers that have a property, of production if there is one, and the day there';

-- Events of these policies wait until the transaction ends, or were applied before. This and the next are planned once a
-- session, and not for each row.
CREATE FUNCTION canopy_summit.gate_subjects(property_id text, unit_id text, lease_id text, tenant_id text) RETURNS text[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
	RETURN (
		SELECT array_agg(DISTINCT 'subject ' || p.server || ' ' || p.policy_number)
		-- Under another name they would be others'.
		FROM (SELECT g.server, canopy_summit.hold_server(canopy_summit.server_of(NULL, g.server, NULL), g.server, true)
			FROM canopy_summit.gate_servers(gate_subjects.property_id) AS g) AS s
			CROSS JOIN LATERAL (SELECT hashtextextended(gate_subjects.property_id, hashtextextended(s.server, 0))) AS h(property)
			JOIN canopy_summit.policy_status p ON p.server = s.server AND p.property_id = gate_subjects.property_id AND (
				hashtextextended(p.lease_id, hashtextextended(p.property_id, hashtextextended(p.server, 0))) = hashtextextended(gate_subjects.lease_id, h.property)
				OR hashtextextended(p.tenant_id, hashtextextended(p.property_id, hashtextextended(p.server, 0)))
					= hashtextextended(gate_subjects.tenant_id, h.property)
				OR hashtextextended(p.property_id, hashtextextended(p.server, 0)) = h.property AND p.lease_id IS NULL AND p.tenant_id IS NULL)
		WHERE coalesce(p.unit_id = gate_subjects.unit_id, true) AND coalesce(p.lease_id = gate_subjects.lease_id, true)
			AND coalesce(p.tenant_id = gate_subjects.tenant_id, true));
END
$$;
COMMENT ON FUNCTION canopy_summit.gate_subjects(text, text, text, text) IS 'policies by which a holder is judged, as lock_subjects() takes them; their servers keep their names until the transaction ends';

CREATE FUNCTION canopy_summit.gate_verdict(property_id text, unit_id text, lease_id text, tenant_id text,
	OUT server text, OUT today date, OUT verdict text, OUT codes text[], OUT requirement_ids bigint[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
	SELECT (array_agg(j.server ORDER BY j.rank))[1], (array_agg(j.today ORDER BY j.rank))[1], (array_agg(j.verdict ORDER BY j.rank))[1],
		array_agg(DISTINCT j.code ORDER BY j.code), array_agg(DISTINCT j.requirement_id ORDER BY j.requirement_id)
	INTO server, today, verdict, codes, requirement_ids
	FROM (WITH known AS MATERIALIZED (
			SELECT s.server, s.today, canopy_summit.is_being_renamed(s.server) AS is_renamed
			FROM canopy_summit.gate_servers(gate_verdict.property_id) AS s)
		SELECT k.server, k.today, v.verdict, v.code, v.requirement_id, CASE v.verdict WHEN 'fail' THEN 1 ELSE 2 END AS rank
		FROM known k
			CROSS JOIN LATERAL canopy_summit.holder_verdicts(k.server, gate_verdict.property_id, gate_verdict.unit_id, gate_verdict.lease_id,
				gate_verdict.tenant_id, k.today) AS v
		WHERE v.verdict IN ('fail', 'unknown') AND NOT k.is_renamed
		UNION ALL
		-- What it is judged by has in part the other name.
		SELECT k.server, k.today, 'unknown', 'server_renamed', NULL, 2 FROM known k WHERE k.is_renamed
		UNION ALL
		SELECT '', (statement_timestamp() AT TIME ZONE 'UTC')::date, 'unknown', 'no_property', NULL, 2
		WHERE NOT EXISTS (SELECT FROM summit.property y WHERE y.property_id = gate_verdict.property_id)) AS j;
END
$$;
COMMENT ON FUNCTION canopy_summit.gate_verdict(text, text, text, text) IS
	'fail or unknown, and why, of a holder on the local day of the statement; NULL if there is nothing against it';

CREATE FUNCTION @extschema@.summit_require_compliant() RETURNS trigger
AS 'MODULE_PATHNAME', 'canopy_summit_require_compliant'
LANGUAGE C;
COMMENT ON FUNCTION @extschema@.summit_require_compliant() IS
	'trigger, AFTER INSERT OR UPDATE FOR EACH ROW on a table of your own: summit_require_compliant(''property, unit, lease, tenant columns'' [, ''flag'' | ''refuse'' [, ''refuse_unknown'']]); flag notes in summit.gate_event that the holder does not comply, refuse raises 23514 with the codes';

SELECT canopy_summit.define_view('summit.gate_event', obj_description('canopy_summit.gate_event'::regclass, 'pg_class'), $view$
SELECT g.gate_event_id, g.server, canopy_summit.server_environment(g.server) AS environment, g.source_table, g.source_key, g.property_id, g.unit_id,
	g.lease_id, g.tenant_id, g.verdict, g.codes, g.requirement_ids, g.judged_on, g.happened_at, g.happened_by
FROM canopy_summit.gate_event g$view$, $notes$
gate_event_id: key of the row
server: server by whose requirements the holder was judged; empty: none has the property
source_table: table of the row
source_key: primary key of the row
property_id: the property
unit_id: the unit
lease_id: the lease
tenant_id: the tenant or vendor
verdict: fail, or unknown
codes: why, as in summit.compliance_code
requirement_ids: requirements that are not met, in summit.requirement
judged_on: the day as of which it was judged, where the property is
happened_at: when
happened_by: who$notes$);

SELECT canopy_summit.allow('fetcher manager', 'function', 'summit_require_compliant');
SELECT canopy_summit.allow('nobody', 'function', 'gate_servers gate_subjects gate_verdict');
