-- summit/export_cell.sql: what exports are made of: certificates with their references in rosters, and cells by style.
-- Replaceable.

-- Built-in styles stay: an UPDATE adds the row that wins.
CREATE TRIGGER export_system_add BEFORE INSERT ON summit.export_system
	FOR EACH ROW WHEN (NEW.builtin) EXECUTE FUNCTION canopy_summit.builtin_keep('style', 'system', 'no longer export for it');
CREATE TRIGGER export_system_change BEFORE UPDATE ON summit.export_system
	FOR EACH ROW WHEN (OLD.builtin OR NEW.builtin) EXECUTE FUNCTION canopy_summit.builtin_keep('style', 'system', 'no longer export for it');
CREATE TRIGGER export_system_delete BEFORE DELETE ON summit.export_system
	FOR EACH ROW WHEN (OLD.builtin) EXECUTE FUNCTION canopy_summit.builtin_keep('style', 'system', 'no longer export for it');
CREATE TRIGGER export_column_add BEFORE INSERT ON summit.export_column
	FOR EACH ROW WHEN (NEW.builtin) EXECUTE FUNCTION canopy_summit.builtin_keep('column', 'heading', 'UPDATE summit.export_column SET source = NULL WHERE ...');
CREATE TRIGGER export_column_change BEFORE UPDATE ON summit.export_column
	FOR EACH ROW WHEN (OLD.builtin OR NEW.builtin) EXECUTE FUNCTION canopy_summit.builtin_keep('column', 'heading', 'UPDATE summit.export_column SET source = NULL WHERE ...');
CREATE TRIGGER export_column_delete BEFORE DELETE ON summit.export_column
	FOR EACH ROW WHEN (OLD.builtin) EXECUTE FUNCTION canopy_summit.builtin_keep('column', 'heading', 'UPDATE summit.export_column SET source = NULL WHERE ...');

-- A restored row's server may be gone.
CREATE FUNCTION canopy_summit.export_style_fill() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.server := canopy_summit.hold_name(NEW.server);
	PERFORM canopy_summit.follow(TG_TABLE_NAME, 'system', NEW.server, ARRAY[NEW.system]);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.export_style_fill() IS 'trigger: has what a style or column of a server would replace follow the server first, where that was renamed';
CREATE TRIGGER export_style_fill BEFORE INSERT ON summit.export_system
	FOR EACH ROW WHEN (NEW.server <> '') EXECUTE FUNCTION canopy_summit.export_style_fill();
CREATE TRIGGER export_style_fill BEFORE INSERT ON summit.export_column
	FOR EACH ROW WHEN (NEW.server <> '') EXECUTE FUNCTION canopy_summit.export_style_fill();

CREATE FUNCTION canopy_summit.date_cell(value date, style text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN value NOT BETWEEN '0001-01-01' AND '9999-12-31' THEN 'out of range'
	WHEN style = 'M/D/YYYY' THEN to_char(value, 'FMMM/FMDD/YYYY') ELSE to_char(value, style) END;
COMMENT ON FUNCTION canopy_summit.date_cell(date, text) IS 'a date in a style of summit.export_column, whatever the session''s DateStyle; of one that styles have no form for, a text that cells_problem() refuses';

CREATE FUNCTION canopy_summit.boolean_cell(value boolean, style text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value THEN split_part(style, '/', 1) WHEN NOT value THEN split_part(style, '/', 2) END;
COMMENT ON FUNCTION canopy_summit.boolean_cell(boolean, text) IS 'true or false in a style of summit.export_column';

CREATE FUNCTION canopy_summit.money_cell(value numeric, style text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE style WHEN 'fixed' THEN round(value, 2)::text ELSE trim_scale(value)::text END;
COMMENT ON FUNCTION canopy_summit.money_cell(numeric, text) IS 'an amount in a style of summit.export_column, without sign or separator, whatever the session''s locale';

CREATE FUNCTION canopy_summit.list_cell(list jsonb, separator text) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_list_cell'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.list_cell(jsonb, text) IS 'texts of an array in one cell';

CREATE FUNCTION canopy_summit.is_formula(cell text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN left(cell, 1) = ANY (ARRAY['=', '+', '-', '@', chr(9), chr(10), chr(13), chr(65309), chr(65291), chr(65293), chr(65312)])
	AND cell !~ '^[+-]?[0-9][0-9 ().,x/-]*$';
COMMENT ON FUNCTION canopy_summit.is_formula(text) IS 'whether a spreadsheet may run a cell: it begins like a formula and is neither number nor telephone';

CREATE FUNCTION canopy_summit.quoted_formula(cell text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN canopy_summit.is_formula(cell) THEN '''' || cell ELSE cell END;
COMMENT ON FUNCTION canopy_summit.quoted_formula(text) IS 'a cell that no spreadsheet runs';

CREATE FUNCTION canopy_summit.is_renters(policy_type text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lower(policy_type) IN ('renters', 'renters insurance', 'tenant', 'tenants', 'tenants insurance', 'personal liability', 'ho4', 'ho-4');
COMMENT ON FUNCTION canopy_summit.is_renters(text) IS 'whether Yardi takes policies of this kind: renters and personal liability, as summit.certificate_fact calls them';

CREATE VIEW canopy_summit.export_source AS
SELECT k.policy_status_id::text AS row_key, k.policy_status_id, k.server, k.environment, k.property_id,
	(CASE WHEN m.reference_id IS NULL THEN k.unit_id ELSE m.unit_id END)::canopy_summit.provider_id AS unit_id,
	(CASE WHEN m.reference_id IS NULL THEN k.lease_id ELSE m.lease_id END)::canopy_summit.provider_id AS lease_id,
	(CASE WHEN m.reference_id IS NULL THEN k.tenant_id ELSE m.tenant_id END)::canopy_summit.provider_id AS tenant_id,
	k.holder_name, k.additional_insured, k.waiver_of_subrogation, k.policy_number, k.insurer_name, k.policy_type, k.effective_date, k.expiry_date,
	k.per_occurrence, k.aggregate, k.cancellation_notice_days, k.endorsements,
	coalesce(k.coi_pdf_id, k.coi_url)::canopy_summit.personal_text AS coi_document,
	k.currency, k.status, k.lapsed_at, k.basis, k.is_newest, k.known_from, k.known_to, y.country AS property_country, t.today,
	CASE WHEN starts_with(CASE WHEN m.reference_id IS NULL THEN k.tenant_id ELSE m.tenant_id END, 'was_') THEN 'no matching lessee records'
		WHEN o.reference_id IS NOT NULL THEN canopy_summit.lease_problem(o.status, o.valid_from, o.valid_to, o.lease_to, t.today)
		WHEN m.is_here THEN m.problem
		WHEN coalesce(k.unit_id, k.lease_id, k.tenant_id) IS NOT NULL
			AND (k.server, k.property_id) IN (SELECT e.server, e.property_id FROM summit.property_reference e) THEN 'no matching lessee records' END
		AS lease_problem
FROM canopy_summit.certificate_known k
	LEFT JOIN summit.property y ON y.server = k.server AND y.property_id = k.property_id
	CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE coalesce(y.time_zone, 'UTC'))::date AS today) AS t
	LEFT JOIN summit.property_reference o ON o.server = k.server AND o.property_id = k.property_id
		AND coalesce(o.unit_id, '') = coalesce(k.unit_id, '') AND coalesce(o.lease_id, '') = coalesce(k.lease_id, '')
		AND coalesce(o.tenant_id, '') = coalesce(k.tenant_id, '') AND o.valid_to IS NULL AND o.kind = 'tenant'
	-- Few are not as the roster has them: they have fewer ids, or an older one, which is followed to whoever replaced it.
	LEFT JOIN LATERAL (
		SELECT n.reference_id, n.unit_id, n.lease_id, n.tenant_id, true AS is_here,
			CASE WHEN n.reference_id IS NOT NULL THEN canopy_summit.lease_problem(n.status, n.valid_from, n.valid_to, n.lease_to, t.today)
				WHEN NOT r.is_compatible THEN 'no current lease with matching people'
				ELSE canopy_summit.lease_problem(r.status, r.valid_from, r.valid_to, r.lease_to, t.today) END AS problem
		FROM (SELECT e.*, coalesce(e.unit_id = k.unit_id, true) AND coalesce(e.lease_id = k.lease_id, true)
					AND coalesce(e.tenant_id = k.tenant_id, true) AS is_compatible
				FROM summit.property_reference e
				-- In here, so that nothing is looked up for all the others.
				WHERE o.reference_id IS NULL AND coalesce(k.unit_id, k.lease_id, k.tenant_id) IS NOT NULL
					AND e.server = k.server AND e.property_id = k.property_id AND md5(e.property_id) = md5(k.property_id)
					AND (e.lease_id = k.lease_id OR e.tenant_id = k.tenant_id OR k.lease_id IS NULL AND k.tenant_id IS NULL AND e.unit_id = k.unit_id)
				ORDER BY is_compatible DESC, canopy_summit.lease_problem(e.status, e.valid_from, e.valid_to, e.lease_to, t.today) IS NULL DESC,
					e.valid_from DESC, e.reference_id DESC LIMIT 1) AS r
			LEFT JOIN LATERAL (
				WITH RECURSIVE chain AS (
					SELECT x.*, 1 AS depth FROM summit.property_reference x WHERE x.reference_id = r.replaced_by AND r.is_compatible
					UNION ALL SELECT x.*, c.depth + 1 FROM chain c JOIN summit.property_reference x ON x.reference_id = c.replaced_by WHERE c.depth < 20)
				SELECT c.* FROM chain c WHERE c.server = k.server ORDER BY c.depth DESC LIMIT 1) AS n ON true) AS m ON true;
COMMENT ON VIEW canopy_summit.export_source IS 'certificates in every state that was known of them, as exports have them: by the reference ids that the roster has now, and why one stays out';
COMMENT ON COLUMN canopy_summit.export_source.lease_problem IS 'why it stays out; NULL: it does not, or there is no roster of the property';

SELECT canopy_summit.describe('canopy_summit.export_source', $notes$
row_key: the certificate, as summit_export_changes() names it: its policy_status_id
policy_status_id: the policy and holder, in summit.policy_status
server: foreign server, by its name; of one that was dropped, its last
environment: production or sandbox
property_id: the property, by its id in the property system
unit_id: the unit, as the roster has it now
lease_id: the lease, likewise
tenant_id: the tenant, likewise
holder_name: the certificate holder
additional_insured: whether the holder is an additional insured
waiver_of_subrogation: whether subrogation against the holder is waived
policy_number: number of the policy
insurer_name: the insurer
policy_type: kind of policy
effective_date: first day that is covered
expiry_date: day on which cover ends
per_occurrence: limit per occurrence, in whole units of currency
aggregate: general aggregate limit, likewise
cancellation_notice_days: days of notice before a cancellation
endorsements: codes or names of endorsements
coi_document: the certificate's document, by its id or its address without query
currency: currency of the amounts
status: submitted, verified, lapsed or reinstated
lapsed_at: when it last lapsed
basis: where the first day comes from
is_newest: no later term has superseded it
known_from: since when this state was known here
known_to: until when; infinity: it is the present one
property_country: country of the property
today: the day at the property$notes$);

CREATE FUNCTION canopy_summit.export_sources() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{property_id,unit_id,lease_id,tenant_id,holder_name,additional_insured,waiver_of_subrogation,policy_number,insurer_name,policy_type,effective_date,expiry_date,per_occurrence,aggregate,cancellation_notice_days,endorsements,coi_document,currency,status}'::text[];
COMMENT ON FUNCTION canopy_summit.export_sources() IS 'what a column of an export may show';

CREATE FUNCTION canopy_summit.export_column_check() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NEW.source <> ALL (canopy_summit.export_sources()) IS NOT TRUE THEN
		RETURN NEW;
	END IF;
	RAISE EXCEPTION 'source "%" does not exist', NEW.source
		USING ERRCODE = 'invalid_parameter_value',
			  HINT = 'Sources are: ' || array_to_string(canopy_summit.export_sources(), ', ') || '; NULL is an empty column.';
END
$$;
COMMENT ON FUNCTION canopy_summit.export_column_check() IS 'trigger: refuses a column that would show what no certificate has';
CREATE TRIGGER export_column_check BEFORE INSERT OR UPDATE ON summit.export_column
	FOR EACH ROW EXECUTE FUNCTION canopy_summit.export_column_check();

CREATE FUNCTION canopy_summit.cell_expression(source text, date_style text, boolean_style text, money_style text, separator text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN source IN ('effective_date', 'expiry_date') THEN format('canopy_summit.date_cell(k.%I, %s)', source, date_style)
	WHEN source IN ('additional_insured', 'waiver_of_subrogation') THEN format('canopy_summit.boolean_cell(k.%I, %s)', source, boolean_style)
	WHEN source IN ('per_occurrence', 'aggregate') THEN format('canopy_summit.money_cell(k.%I, %s)', source, money_style)
	WHEN source = 'endorsements' THEN format('canopy_summit.list_cell(k.endorsements, %s)', separator)
	WHEN source = ANY (canopy_summit.export_sources()) THEN format('k.%I::text', source)
	ELSE 'NULL::text' END;
COMMENT ON FUNCTION canopy_summit.cell_expression(text, text, text, text, text) IS
	'expression over k, a row of canopy_summit.export_source, that is the cell of a source; styles are expressions, too';

-- Styles as they count: one's own for the server, one's own for all, the built-in ones.
CREATE VIEW canopy_summit.export_system_now AS
SELECT DISTINCT ON (f.srvname, s.system) f.srvname::text AS server, s.system, s.header, s.bom, s.delimiter, s.line_end,
	pg_catalog.pg_encoding_to_char(pg_catalog.pg_char_to_encoding(s.encoding))::text AS encoding, s.formulas, s.separator
FROM pg_catalog.pg_foreign_server f
	JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = f.srvfdw AND w.fdwname = 'summit_api'
	JOIN summit.export_system s ON s.server IN ('', f.srvname::text)
ORDER BY f.srvname, s.system, s.server = '', s.builtin;
COMMENT ON VIEW canopy_summit.export_system_now IS 'how files for property systems are written, for each server';

CREATE VIEW canopy_summit.export_column_now AS
SELECT DISTINCT ON (f.srvname, c.system, c.position) f.srvname::text AS server, c.system, c.position, c.heading, c.source, c.date_style,
	c.boolean_style, c.money_style, c.required
FROM pg_catalog.pg_foreign_server f
	JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = f.srvfdw AND w.fdwname = 'summit_api'
	JOIN summit.export_column c ON c.server IN ('', f.srvname::text)
ORDER BY f.srvname, c.system, c.position, c.server = '', c.builtin;
COMMENT ON VIEW canopy_summit.export_column_now IS 'columns of files for property systems, for each server';

CREATE VIEW canopy_summit.export_style AS
SELECT y.server, y.system, y.header, y.bom, y.delimiter, y.line_end, y.encoding, y.formulas, y.separator, c.headings, c.sources, c.date_styles,
	c.boolean_styles, c.money_styles, c.required
FROM canopy_summit.export_system_now y
	CROSS JOIN LATERAL (
		SELECT array_agg(n.heading ORDER BY n.position) AS headings, array_agg(n.source ORDER BY n.position) AS sources,
			array_agg(n.date_style ORDER BY n.position) AS date_styles, array_agg(n.boolean_style ORDER BY n.position) AS boolean_styles,
			array_agg(n.money_style ORDER BY n.position) AS money_styles, array_agg(n.required ORDER BY n.position) AS required
		FROM canopy_summit.export_column_now n WHERE n.server = y.server AND n.system = y.system HAVING count(*) > 0) AS c;
COMMENT ON VIEW canopy_summit.export_style IS 'how files for property systems are written, for each server, with the columns as arrays';

SELECT canopy_summit.describe('summit.export_system summit.export_column canopy_summit.export_system_now canopy_summit.export_column_now canopy_summit.export_style', $notes$
server: server that the style is for; empty: every server that has none of its own
system: the property system: yardi, buildium, entrata, realpage, or one of your own
header: whether the first line has the headings
bom: whether a file begins with a byte order mark; only in UTF8
delimiter: between cells: comma, semicolon, tab or vertical bar
line_end: of a file: LF or CRLF
encoding: of a file, as PostgreSQL calls it, such as UTF8 or WIN1252; of another than UTF8 letters are composed (NFC), and a row with a character that it lacks is left out
formulas: keep: cells that a spreadsheet would run are exported as they are, and listed; quote: with an apostrophe before them, unless they are numbers or telephones
separator: between endorsements in one cell
position: place of the column, from 1
heading: text of the first line, byte for byte
source: what the column shows: a column of summit.yardi_export, currency or status; NULL: nothing
date_style: YYYY-MM-DD, MM/DD/YYYY, M/D/YYYY, DD/MM/YYYY or YYYYMMDD
boolean_style: true/false, 1/0, T/F, Yes/No or Y/N
money_style: plain; integer: rows with other amounts are left out; fixed: two decimals
required: whether a row that lacks it is left out
builtin: came with the extension
headings: texts of the first line, in order
sources: what the columns show, in order
date_styles: styles of the columns, in order
boolean_styles: likewise
money_styles: likewise$notes$);

CREATE FUNCTION canopy_summit.cells_problem(cells text[], headings text[], sources text[], required boolean[], money_styles text[], encoding text)
RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_cells_problem'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.cells_problem(text[], text[], text[], boolean[], text[], text) IS
	'why a row with these cells cannot be exported: a required one is empty, a date or an amount is none or is not whole, or a character is not in the encoding; NULL if it can';

CREATE FUNCTION canopy_summit.list_problem(list jsonb, separator text) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_list_problem'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.list_problem(jsonb, text) IS 'why texts of an array cannot stand in one cell; NULL if they can';

DO $$
DECLARE
	cell CONSTANT text := (SELECT 'CASE c.source ' || string_agg(format('WHEN %L THEN %s', x.source,
			canopy_summit.cell_expression(x.source, 'c.date_style', 'c.boolean_style', 'c.money_style', 's.separator')), ' ') || ' END'
		FROM unnest(canopy_summit.export_sources()) AS x(source));
	system text;
BEGIN
	FOREACH system IN ARRAY '{yardi,buildium,entrata,realpage}'::text[] LOOP
		PERFORM canopy_summit.define_view(format('summit.%I', system || '_export'),
			format('what summit_export(''%s'') exports, under names of their own', system),
			(SELECT format('SELECT k.server, k.environment, %s, k.row_key FROM canopy_summit.export_source k '
				'JOIN canopy_summit.export_style s ON s.server = k.server AND s.system = %L '
				'WHERE k.known_to = ''infinity'' AND k.is_newest AND k.lease_problem IS NULL '
				'AND canopy_summit.list_problem(k.endorsements, s.separator) IS NULL '
				'AND canopy_summit.cells_problem(ARRAY[%s], s.headings, s.sources, s.required, s.money_styles, s.encoding) IS NULL',
				string_agg(x.cell || CASE WHEN x.source IN ('holder_name', 'policy_number', 'coi_document', 'endorsements') THEN '::canopy_summit.personal_text'
					WHEN x.source IN ('property_id', 'unit_id', 'lease_id', 'tenant_id', 'insurer_name', 'policy_type')
						THEN '::canopy_summit.provider_id' ELSE '' END || ' AS ' || x.source, ', '
					ORDER BY x.position), system, string_agg(x.cell, ', ' ORDER BY x.position))
			FROM (SELECT c.source, c.position, canopy_summit.cell_expression(c.source, format('s.date_styles[%s]', c.position),
					format('s.boolean_styles[%s]', c.position), format('s.money_styles[%s]', c.position), 's.separator') AS cell
				FROM summit.export_column c WHERE c.builtin AND c.server = '' AND c.system = 'yardi') AS x), $notes$
row_key: the certificate, as summit_export_changes() names it
property_id: the property
unit_id: the unit
lease_id: the lease
tenant_id: the tenant
holder_name: the certificate holder, which systems call property name
additional_insured: whether the holder is an additional insured, in the system's style
waiver_of_subrogation: whether subrogation against the holder is waived, likewise
policy_number: number of the policy
insurer_name: the insurer
policy_type: kind of policy
effective_date: first day of cover, in the system's style
expiry_date: day on which it ends, likewise
per_occurrence: limit per occurrence, likewise
aggregate: general aggregate limit, likewise
cancellation_notice_days: days of notice before a cancellation
endorsements: endorsements in one cell
coi_document: the certificate's document, by its id or its address without query$notes$);
	END LOOP;
	PERFORM canopy_summit.define_view('summit.export_problem',
		'what exports leave out, and why; and cells that a spreadsheet would run, which are exported as they are', format($view$
SELECT k.server, k.environment, s.system, k.row_key, k.property_id, k.unit_id, k.lease_id, k.tenant_id, k.policy_number, p.severity,
	p.problem::canopy_summit.personal_text AS problem
FROM canopy_summit.export_source k
	JOIN canopy_summit.export_style s ON s.server = k.server
	LEFT JOIN canopy_summit.export_line l ON l.row_key = k.row_key AND l.system = s.system AND l.server = k.server
	CROSS JOIN LATERAL (SELECT ARRAY(
		SELECT %s FROM unnest(s.sources, s.date_styles, s.boolean_styles, s.money_styles)
			WITH ORDINALITY AS c(source, date_style, boolean_style, money_style, position) ORDER BY c.position) AS cells) AS r
	CROSS JOIN LATERAL (
		SELECT 'problem' AS severity, coalesce(k.lease_problem, canopy_summit.list_problem(k.endorsements, s.separator),
			canopy_summit.cells_problem(r.cells, s.headings, s.sources, s.required, s.money_styles, s.encoding)) AS problem
		UNION ALL SELECT 'problem', ('the receiver refused it: ' || l.message)
		WHERE l.refused_line = coalesce(l.line, '')
		UNION ALL SELECT 'warning', format('column "%%s" begins like a formula', h.heading)
		FROM unnest(s.headings, r.cells) AS h(heading, cell) WHERE s.formulas = 'keep' AND canopy_summit.is_formula(h.cell)) AS p
WHERE k.known_to = 'infinity' AND k.is_newest AND p.problem IS NOT NULL
UNION ALL
-- The XML form has no cells: what has no line has no people, or something that a policy must have.
SELECT k.server, k.environment, f.system, k.row_key, k.property_id, k.unit_id, k.lease_id, k.tenant_id, k.policy_number, 'problem',
	p.problem::canopy_summit.personal_text
FROM canopy_summit.export_feed f
	JOIN canopy_summit.export_source k ON k.server = f.server
	LEFT JOIN canopy_summit.export_line l ON l.row_key = k.row_key AND l.system = f.system AND l.server = f.server
	CROSS JOIN LATERAL (
		SELECT CASE WHEN l.refused_line = coalesce(l.line, '') THEN 'the receiver refused it: ' || l.message
			WHEN k.lease_problem IS NOT NULL THEN k.lease_problem
			WHEN l.line IS NULL THEN 'no exportable policyholding residents'
			WHEN l.remote_id IS NULL AND l.line <> l.acknowledged_line THEN 'the receiver has it, and has not told its Policy Id' END AS problem) AS p
WHERE f.system = 'yardi_xml' AND k.known_to = 'infinity' AND k.is_newest AND canopy_summit.is_renters(k.policy_type)
	AND p.problem IS NOT NULL$view$, cell), $notes$
system: the property system
row_key: the certificate, as summit_export_changes() names it
property_id: the property
unit_id: the unit
lease_id: the lease
tenant_id: the tenant
policy_number: number of the policy
severity: problem: it is left out, or the system has refused it; warning: it is exported all the same
problem: why; a system's refusal in its own words$notes$,
		'{"problem": "q.problem NOT LIKE ''the receiver refused it%''"}');
END
$$;

SELECT canopy_summit.allow('reader', 'function',
	'date_cell boolean_cell money_cell list_cell is_formula is_renters lease_problem list_problem cells_problem');
SELECT canopy_summit.allow('nobody', 'function', 'export_style_fill');
