-- summit/yardi_xml.sql: renters insurance in Yardi's XML.
-- Replaceable.
--
-- Element names and their order, and the misspelt roommates, are those of the wire: "Renters Insurance 3.0" enforces
-- them. There are no Notes, which broke imports, and no premium. What Yardi has is what was acknowledged for system
-- yardi_xml: a kept line is a policy without its type, which depends on that.

-- Cancelled on the day of the lapse, within the term, and not before that day has come.
CREATE FUNCTION canopy_summit.cancel_day(status text, lapsed_on date, effective_date date, expiry_date date, today date) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN status = 'lapsed' AND lapsed_on <= today THEN least(greatest(lapsed_on, effective_date), expiry_date) END;
COMMENT ON FUNCTION canopy_summit.cancel_day(text, date, date, date, date) IS 'the CancelDate of a policy that has lapsed; NULL of any other, and before its day';

CREATE FUNCTION canopy_summit.yardi_people(server text, property_id text, unit_id text, lease_id text, tenant_id text) RETURNS xml
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT xmlelement(name "Customer", xmlagg(xmlelement(name "MITS:Identification",
				xmlattributes(CASE WHEN p.is_first THEN 'Resident ID' ELSE 'Roomate' || (p.place - 1) || ' ID' END AS "IDType"),
				xmlelement(name "MITS:IDValue", p.tenant_id)) ORDER BY p.place),
			xmlagg(xmlelement(name "MITS:Name", xmlelement(name "FirstName", p.first_name), xmlelement(name "LastName", p.last_name))
				ORDER BY p.place) FILTER (WHERE p.is_first))
	FROM (SELECT r.tenant_id, r.first_name::text, r.last_name::text, row_number() OVER w AS place, row_number() OVER w = 1 AS is_first
		FROM summit.property_reference r
		WHERE r.server = yardi_people.server AND r.property_id = yardi_people.property_id AND r.valid_to IS NULL AND r.kind = 'tenant'
			AND r.unit_id IS NOT DISTINCT FROM yardi_people.unit_id AND r.lease_id IS NOT DISTINCT FROM yardi_people.lease_id
		WINDOW w AS (ORDER BY r.tenant_id = yardi_people.tenant_id DESC, r.is_primary DESC, r.tenant_id)) AS p
	HAVING bool_or(p.is_first AND p.first_name <> '' AND p.last_name <> '' AND p.tenant_id = yardi_people.tenant_id);
END;
COMMENT ON FUNCTION canopy_summit.yardi_people(text, text, text, text, text) IS
	'the Customer of a policy: whoever holds it, then roommates; NULL if the roster does not have them by both names';

CREATE FUNCTION canopy_summit.yardi_query(server text, condition text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN format($query$
	SELECT x.* FROM (SELECT k.row_key, xmlconcat(c.customer, xmlelement(name "Insurer", xmlelement(name "Name", k.insurer_name)),
			xmlelement(name "PolicyNumber", k.policy_number), xmlelement(name "PolicyTitle", k.policy_type),
			xmlelement(name "PolicyDetails", xmlforest(to_char(k.effective_date, 'YYYY-MM-DD') AS "EffectiveDate",
				to_char(k.expiry_date, 'YYYY-MM-DD') AS "ExpirationDate"), xmlelement(name "IsRenew", '?'),
				xmlforest(to_char(d.cancelled_on, 'YYYY-MM-DD') AS "CancelDate", round(k.per_occurrence, 2)::text AS "LiabilityAmount"),
				xmlelement(name "PolicyId", '?'), xmlelement(name "hvendorpolicy", '0')))::text AS line
	FROM canopy_summit.export_source k
		LEFT JOIN summit.property y ON y.server = k.server AND y.property_id = k.property_id
		CROSS JOIN LATERAL (SELECT canopy_summit.cancel_day(k.status, (k.lapsed_at AT TIME ZONE coalesce(y.time_zone, 'UTC'))::date,
			k.effective_date, k.expiry_date, k.today)) AS d(cancelled_on)
		CROSS JOIN LATERAL (SELECT canopy_summit.yardi_people(k.server, k.property_id, k.unit_id, k.lease_id, k.tenant_id)) AS c(customer)
	WHERE k.server = %L AND k.is_newest AND k.lease_problem IS NULL AND canopy_summit.is_renters(k.policy_type) AND c.customer IS NOT NULL
		AND isfinite(k.effective_date) AND isfinite(k.expiry_date) AND k.insurer_name IS NOT NULL AND %s OFFSET 0) AS x
	-- A text may have characters that no XML can.
	WHERE xml_is_well_formed_content(x.line)$query$, server, condition);
COMMENT ON FUNCTION canopy_summit.yardi_query(text, text) IS
	'the query that makes policies of Yardi''s XML, without what depends on what Yardi has, for the certificates that fit a condition on k';

-- A change without Yardi's own PolicyId would make a second policy, so it waits until that is acknowledged.
CREATE FUNCTION canopy_summit.yardi_type(line text, acknowledged text, remote_id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN line IS NULL OR line = acknowledged THEN NULL
	WHEN acknowledged IS NULL THEN CASE WHEN strpos(line, '<CancelDate>') = 0 THEN 'new' END
	WHEN remote_id IS NULL THEN NULL
	WHEN strpos(line, '<CancelDate>') > 0 THEN 'cancel'
	WHEN substring(line FROM '<EffectiveDate>([^<]*)<') > substring(acknowledged FROM '<EffectiveDate>([^<]*)<') THEN 'renewal'
	ELSE 'change' END;
COMMENT ON FUNCTION canopy_summit.yardi_type(text, text, text) IS 'Type of an InsurancePolicy, by what Yardi has of it; NULL if it is not sent';

CREATE FUNCTION canopy_summit.export_yardi_xml(property_id text, server text, role name) RETURNS xml
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	policies xml;
	sent bigint;
BEGIN
	PERFORM canopy_summit.feed_refresh('yardi_xml', export_yardi_xml.server);
	SELECT count(*), xmlagg(format('<InsurancePolicy Type="%s">%s</InsurancePolicy>', t.type,
			replace(replace(l.line, '<IsRenew>?</IsRenew>', format('<IsRenew>%s</IsRenew>', (t.type = 'renewal')::text)),
				'<PolicyId>?</PolicyId>', coalesce('<PolicyId>' || l.remote_id || '</PolicyId>', '')))::xml ORDER BY p.policy_status_id)
	INTO sent, policies
	FROM canopy_summit.policy_status p
		JOIN canopy_summit.export_line l ON l.row_key = p.policy_status_id::text AND l.system = 'yardi_xml' AND l.server = p.server
		CROSS JOIN LATERAL (SELECT canopy_summit.yardi_type(l.line, l.acknowledged_line, l.remote_id)) AS t(type)
	WHERE p.server = export_yardi_xml.server AND p.property_id = export_yardi_xml.property_id
		AND t.type IS NOT NULL AND l.refused_line IS DISTINCT FROM l.line;
	IF sent > 0 THEN
		INSERT INTO canopy_summit.disclosure
		SELECT nextval('canopy_summit.disclosure_id_seq'), y.server, 'yardi_xml', y.property_id, h.home, y.country, sent, now(), role
		FROM summit.property y, canopy_summit.server_country(y.server) AS h(home)
		WHERE y.server = export_yardi_xml.server AND y.property_id = export_yardi_xml.property_id AND y.country <> h.home;
	END IF;
	RETURN xmlelement(name "RenterInsurance", xmlattributes('http://my-company.com/namespace' AS "xmlns:MITS"), policies);
END
$$;
COMMENT ON FUNCTION canopy_summit.export_yardi_xml(text, text, name) IS 'what summit_export_yardi_xml() returns; role is who asks';
