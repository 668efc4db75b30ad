-- canopy/policy_check.sql: having policies checked, and what came of it item by item.
-- Replaceable.

CREATE FUNCTION @extschema@.canopy_check_policies(pull_id text, settings jsonb DEFAULT NULL, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_check_policies'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_check_policies(text, jsonb, name) IS
	'has the policies of a pull checked against settings, {"vehicle": {...}, "dwelling": {...}}, or the team''s if they are NULL, and the pull stored with the results; returns the job; see canopy.policy_check_item';

CREATE FUNCTION @extschema@.canopy_policy_check_settings(server name DEFAULT NULL) RETURNS jsonb
LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 1000000
BEGIN ATOMIC
	SELECT CASE pg_catalog.jsonb_typeof(a.settings) WHEN 'object' THEN a.settings OPERATOR(pg_catalog.-) 'success' END
	FROM @extschema@.canopy_call('get-policy-check-team-settings', '{}', NULL, canopy_policy_check_settings.server) AS a(settings);
END;
COMMENT ON FUNCTION @extschema@.canopy_policy_check_settings(name) IS
	'what is checked for all pulls of the team: {"vehicle": {...}, "dwelling": {...}}, amounts in cents';

CREATE FUNCTION @extschema@.canopy_change_policy_check_settings(settings jsonb, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_change_policy_check_settings'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_change_policy_check_settings(jsonb, name) IS
	'changes what is checked for all pulls of the team, {"vehicle": {...}, "dwelling": {...}}, amounts in cents; returns the job';

-- Documented is one item, as an object; each by its name, or a list of them, is read as well.
CREATE FUNCTION canopy_summit.policy_check_items(details jsonb, OUT item_number bigint, OUT item text, OUT status text, OUT actual jsonb,
	OUT expected jsonb)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10
BEGIN ATOMIC
	SELECT d.n, d.item, d.detail ->> 'status', d.detail -> 'actual', d.detail -> 'expected'
	FROM (SELECT 1::bigint, NULL::text, details WHERE jsonb_typeof(details) = 'object' AND details ?| '{status,actual,expected}'
		UNION ALL
		SELECT row_number() OVER (ORDER BY o.key), o.key, o.value
		FROM jsonb_each(CASE WHEN jsonb_typeof(details) = 'object' AND NOT details ?| '{status,actual,expected}' THEN details ELSE '{}' END) AS o
		WHERE jsonb_typeof(o.value) = 'object'
		UNION ALL
		SELECT a.n, coalesce(a.value ->> 'item', a.value ->> 'name', a.value ->> 'type'), a.value
		FROM jsonb_array_elements(CASE jsonb_typeof(details) WHEN 'array' THEN details ELSE '[]' END) WITH ORDINALITY AS a(value, n)
		WHERE jsonb_typeof(a.value) = 'object') AS d(n, item, detail);
END;
COMMENT ON FUNCTION canopy_summit.policy_check_items(jsonb) IS 'the items of a policy check''s details, whichever way they are given';

SELECT canopy_summit.define_view('canopy.policy_check_item', 'results of policy checks item by item; of each account''s newest pull with data', $view$
SELECT c.server, canopy_summit.server_environment(c.server) AS environment, c.pull_id, c.policy_id, i.item_number,
	i.item::canopy_summit.provider_word AS item, i.status::canopy_summit.provider_word AS status, i.actual, i.expected
FROM canopy_summit.policy_check c, LATERAL canopy_summit.policy_check_items(c.details) AS i
WHERE c.is_current$view$, $notes$
policy_id: the policy
item_number: number of the item within the policy's check, from 1
item: its name; NULL where Canopy gives none
status: COMPLIANT, NOT_COMPLIANT, REVIEW_REQUIRED or NONE
actual: what was found; amounts in cents
expected: what is wanted; amounts in cents$notes$);

SELECT canopy_summit.allow('reader', 'function', 'policy_check_items');
SELECT canopy_summit.allow('fetcher', 'function', 'canopy_policy_check_settings');
