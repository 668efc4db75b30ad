# Does each level of access_levels() have the rights that access_rules() lists and no others, and what follows from
# that?
use strict;
use warnings;

use CanopyTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

# Fields about a person, as Schema.field, whatever our tables say.
my $personal = qr/
	\.(first|middle|last|full)_name | owner\d_(first|last)_name | email | phone | representative_ | _middle_name
	| \.(drivers_license|date_of_birth_str|gender|marital_status|age|age_on_date|education|occupation)$
	| \.(vin|hin|serial_number|lien_holder|fein|apn|mortgagee_name|mortgage_loan_number|additional_interest_name)$
	| \.carrier_(policy_number|claim_identifier)$ | ^Address\.(full_address|number|street|sec_unit_num|zip)$
	| ^Pull\.meta_data$ | \.download_url$ | ^AnswerField\.(value|meta)
/x;

# What a level's function does in a database, in a search path and schema of the caller's choice.
my @battery = (
	q{SELECT version, changed, status FROM %s.canopy_fetch_pull('PULL')},
	<<~'SQL',
		SELECT * FROM %s.canopy_store_pull('{"pull_id": "p1", "account_identifier": "a",
			"created_at": "2026-01-01T00:00:00Z", "status": "SUCCESS", "new": 1, "policies": [
				{"policy_id": "x", "total_premium_cents": 12345, "expiry_date": "2026-05-01T04:00:00Z"}]}')
		SQL
	<<~'SQL',
		SELECT * FROM %s.canopy_store_pull('{"pull_id": "p2", "account_identifier": "a",
			"created_at": "2026-02-01T00:00:00Z", "status": "STARTED", "policies": [
				{"policy_id": "y", "code": "C", "total_premium_cents": "bad"}]}')
		SQL
	<<~'SQL',
		SELECT * FROM %s.canopy_store_pull('{"pull_id": "p2", "account_identifier": "b", "status": "SUCCESS",
			"policies": [{"policy_id": "y", "code": "C"}]}')
		SQL
	q{SELECT * FROM %s.canopy_store_pull('{"pull_id": "p2", "status": "STARTED"}', fetched_at => '2001-01-01')},
	q{SELECT canopy_summit.add_column('policy', 'code', 'pg_catalog.text', false)},
	q{SET client_min_messages = warning; SELECT %s.canopy_remap(); RESET client_min_messages},
	q{CALL canopy_summit.run_tasks()},
	q{SELECT what, state, done, total FROM canopy_summit.progress},
	q{SELECT pull_id, policy_id, total_premium, expiry_date, code FROM canopy.policy ORDER BY 1, 2},
	q{SELECT pull_id, version, is_current, is_data, code FROM canopy.policy_all ORDER BY 1, 2},
	q{SELECT first_name, email, meta_data FROM canopy.pull ORDER BY 1, 2},
	q{SELECT kind, path, versions FROM canopy_summit.schema_drift ORDER BY 1, 2},
	q{SELECT operation, class, parameters FROM canopy_summit.operation ORDER BY 1},
	q{SELECT pull_id, stored FROM %s.canopy_list_pulls(max_rows => 30)},
	q{SELECT %s.canopy_archive_pull('PULL'), %s.canopy_archive_pull('PULL', false)},
	q{SELECT name, products FROM %s.canopy_carriers(ARRAY['commercial'])},
	q{SELECT name, products FROM %s.canopy_carrier('progressive')},
	q{SELECT * FROM %s.canopy_terms()},
	q{SELECT %s.canopy_health()},
	q{SELECT %s.canopy_connect_link('alias', '{"id": "lead-42"}')},
	q{SELECT canopy_summit.grant_access('somebody', 'pii_reader'), canopy_summit.grant_access('somebody', 'admin')},
	<<~'SQL',
		CREATE SERVER s FOREIGN DATA WRAPPER canopy_api
		OPTIONS (environment 'sandbox', timeout '5s', webhook_tolerance '1h', requests_per_second '2.5')
		SQL
	q{CREATE SERVER c FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox')},
	map({ qq{CREATE USER MAPPING FOR CURRENT_USER SERVER $_ OPTIONS (webhook_secret 'secret')} } qw(s c)),
	map({ 'SELECT http_status, outcome FROM %s.receive_webhook(' . webhook(@$_) . ')' }
		([ 's', '{"event_type": "X"}' ]) x 2,
		([ 'c', '{"event": "X", "delivery_id": "d"}' ]) x 2, [ 'c', '{"event": "Y", "delivery_id": "d"}' ]),
	map({ 'INSERT INTO canopy_summit.webhook (server, headers, body) VALUES (' . webhook(@$_) . ') RETURNING event' }
		[ 's', '{"event_type": "X"}' ],
		[ 's', '{"event_type": "Y"}' ], [ 'c', '{"event": "Z", "delivery_id": "d"}' ]),
	q{SELECT canopy_summit.apply_webhooks()},
	q{SELECT server, event, delivery_key, state FROM canopy_summit.webhook ORDER BY webhook_id});

my $sandbox = start_sandbox();
my $node = new_node();
create_canopy_server($node, $sandbox, role => 'PUBLIC');
$node->safe_psql('postgres', 'CREATE ROLE somebody');
my @levels = split /\n/, $node->safe_psql('postgres', 'SELECT level FROM canopy_summit.access_levels()');

subtest 'the matrix' => \&matrix;
subtest 'readers' => \&readers;
subtest 'canaries' => \&canaries;
subtest 'fetchers' => \&fetchers;
subtest 'functions with the owner\'s rights' => \&definers;
subtest 'comments' => \&comments;
subtest 'same-named objects' => \&conflicts;
subtest 'encodings' => \&encodings;
my $plain = battery('plain', 'public', '');
subtest 'an odd schema' => \&odd_schema;
subtest 'a hostile search path' => \&hostile_path;
subtest 'hostile objects where the extension goes' => \&hostile_schema;
done_testing();

# Every object × every privilege × every level, and a role without any.
sub matrix
{
	is_deeply(
		\@levels, [qw(reader pii_reader fetcher ingest operator manager admin)],
		'the levels are those of the design');
	for my $level (@levels)
	{
		$node->safe_psql('postgres', "CREATE ROLE has_$level; SET quote_all_identifiers = on; "
			  . "SELECT canopy_summit.grant_access('has_$level', '$level')");
	}
	$node->safe_psql('postgres', 'CREATE ROLE has_nothing');
	define_actual();

	is( $node->safe_psql('postgres', q{SELECT DISTINCT classid::regclass FROM member WHERE kind IS NULL}),
		'', 'every kind of object is tested');
	cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM actual'), '>', 5000, 'every cell is tested');
	is( $node->safe_psql('postgres', <<~'SQL'),
		SELECT level, object, privilege, column_name FROM rule WHERE level <> 'admin'
		EXCEPT SELECT l.level, r.object, r.privilege, c.name
			FROM rule r, canopy_summit.access_levels() l,
				LATERAL (SELECT r.column_name UNION SELECT attname FROM pg_attribute
				WHERE r.column_name IS NULL AND r.kind = 'table' AND attrelid = r.objid AND attnum > 0) c(name)
			WHERE r.level = 'admin'
		SQL
		'', 'an admin may do whatever any other level may');
	for my $level ('nothing', @levels)
	{
		is( $node->safe_psql('postgres', cells($level, 'granted', 'rule')), '',
			"$level has no right that is not in the rules");
		is( $node->safe_psql('postgres', cells($level, 'rule', 'granted')), '',
			"$level has every right that is in the rules");
		is($node->safe_psql('postgres', columns($level)), '', "$level has rights on columns of tables as in the rules");
	}
	is( $node->safe_psql('postgres', q{SELECT * FROM rule WHERE level = 'nothing' OR object IS NULL}), '',
		'the rules name objects of the extension');
	is( scalar sqlstate_of($node, q{SELECT canopy_summit.grant_access('somebody', 'root')}), '22023',
		'an unknown level is refused');
	is( scalar sqlstate_of($node, q{SET ROLE has_admin; SELECT canopy_summit.grant_access('has_nothing', 'reader')}),
		'42501', 'no level can grant levels');
	return;
}

# Whatever is put into any personal field, and whatever a provider puts into any field of a webhook or an answer: who
# may not read personal data sees none of it, in any view, table or function.
sub canaries
{
	my $database = 'canaries';
	# What is shown to all: what users of ours upload, whose texts are checked, and the engine's own words; of these
	# operators see more.
	my @files = (
		(map { "canopy.document_file.$_" } qw(file_id media_type owner_id reason scan sha256)),
		map { "canopy.enrichment.$_" } qw(asked_by kind problem));
	my @rosters = (
		(   map { "summit.compliance.$_" }
			  qw(currency kind lease_id policy_type property_id requirement_set tenant_id unit_id)),
		(map { "summit.delivery.$_" } qw(last_outcome property_id)),
		(map { "summit.disclosure.$_" } qw(from_country property_id to_country)),
		(map { "summit.gate_event.$_" } qw(lease_id property_id source_table tenant_id unit_id verdict)),
		(map { "summit.import_problem.$_" } qw(problem)),
		map { "summit.roster.$_" } qw(kind lease_id property_id property_name resident_guid tenant_id unit_id));
	my @shown = map { "summit.upload_status.$_" }
	  qw(insurer_name last_outcome lease_id policy_type property_id source_table tenant_id unit_id);
	my @engine = qw(canopy_summit.job_attempt.code canopy_summit.job_attempt.outcome canopy_summit.job_stats.operation
	  canopy_summit.job_status.operation canopy_summit.job_status.outcome canopy_summit.job_status.outcome_code
	  canopy_summit.progress.problem canopy_summit.progress.server canopy_summit.progress.what
	  canopy_summit.server_health.held canopy_summit.server_health.server canopy_summit.server_hold.reason
	  canopy_summit.webhook_status.problem);
	my @values = (q{'Jane Canary, 1 Main St'}, q{'{"name": "Canary"}'}, q{'canary@example.com'}, q{E'Canary\n'});

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	$node->safe_psql($database, 'CREATE EXTENSION canopy_summit; '
		  . "SELECT canopy_summit.grant_access(('has_' || level)::regrole, level) FROM canopy_summit.access_levels()");
	for my $number (0 .. $#values)
	{
		my $fill = fill_tables() =~ s/CANARY/$values[$number] =~ s{'}{''}gr/ger =~ s/NUMBER/$number/gr;
		$node->safe_psql(
			$database, qq{CREATE SERVER "key $number" FOREIGN DATA WRAPPER summit_api OPTIONS
			(environment 'sandbox')}) if $number;
		$node->safe_psql($database, $fill);
	}
	# What goes out to endpoints stands in the bodies of jobs.
	$node->safe_psql($database, <<~'SQL');
		SET session_replication_role = replica;
		INSERT INTO canopy_summit.job SELECT (jsonb_populate_record(j, jsonb_build_object('job_id', j.job_id + 1000,
			'operation', 'post-delivery', 'body', jsonb_build_object('data', jsonb_build_object(
				'policy', jsonb_build_object('policy_number', 'Canary'),
				'certificate_holder', jsonb_build_object('reference_ids',
					jsonb_build_object('property_id', 'Canary'))))))).*
		FROM canopy_summit.job j
		SQL
	my $filled = $node->safe_psql($database, <<~'SQL');
		SET ROLE has_admin;
		SELECT count(*) FROM canopy_summit.pull_version, canopy_summit.webhook, canopy_summit.vehicle, summit.upload
		SQL
	is($filled, 256, 'the tables are filled');

	my %seen = map { ($_ => [ canaries_seen($database, "has_$_") ]) } @levels;
	is_deeply(
		$seen{reader}, [ @files, @rosters, @shown ],
		'a reader sees uploads of users, ids of rosters, requirements, what is known of files, and no canary besides');
	is_deeply($seen{fetcher}, [ @shown, map { "summit.upload_warning.$_" } qw(field warning) ], 'nor does a fetcher');
	is_deeply($seen{operator}, \@engine, 'an operator sees what the engine says, and no canary besides');
	is_deeply($seen{ingest}, [], 'ingest sees none');
	is( $node->safe_psql($database, masked_columns(@{ $seen{pii_reader} })),
		'', 'who may read personal data sees a canary wherever a view masks');

	# Masks ask for the current user, who is the owner inside a function with the owner's rights.
	is($node->safe_psql($database, <<~'SQL'), '', 'no function with the owner\'s rights reads a masked view');
		SELECT p.oid::regprocedure FROM pg_proc p,
			(SELECT '\m(may_read_pii|' || string_agg(oid::regclass::text, '|') || ')\M' FROM pg_class
				WHERE relkind = 'v' AND pg_get_viewdef(oid) ~ 'may_read_pii') AS v(masked)
		WHERE p.prosecdef AND (p.pronamespace IN ('canopy'::regnamespace, 'summit'::regnamespace)
			OR pg_get_functiondef(p.oid) ~ v.masked)
		SQL
	my @functions = split /\n/, $node->safe_psql($database, <<~'SQL');
		GRANT USAGE ON SCHEMA canopy_summit TO has_reader;
		SELECT format('SELECT to_jsonb(f) FROM %s(%s) AS f', p.oid::regproc, (
			SELECT string_agg(CASE t WHEN 'text'::regtype THEN quote_literal('key 0') ELSE 'NULL::' || t::regtype
				END, ', ')
			FROM unnest(p.proargtypes) t))
		FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'canopy_summit'
		WHERE has_function_privilege('has_reader', p.oid, 'EXECUTE')
		SQL
	cmp_ok(scalar @functions, '>=', 4, 'a reader may execute functions');
	# Of nothing that is there some raise errors.
	unlike(join(' ', ($node->psql($database, "SET ROLE has_reader; $_"))[ 1, 2 ]), qr/canary/i, $_) for @functions;
	return;
}

# SQL that puts a row into every table of the extension, whose personal fields, and of what is no entity all texts,
# hold a canary.
sub fill_tables
{
	return <<~'SQL';
		SET session_replication_role = replica;
		SELECT format('INSERT INTO %s SELECT %s', a.attrelid::regclass, string_agg(CASE
			-- Requirements in force, of the same property.
			WHEN attname = 'scope' THEN quote_literal('property')
			WHEN attname = 'ends_on' THEN quote_literal('infinity')
			WHEN attname = 'status' AND a.attrelid = 'summit.requirement_set'::regclass
				THEN quote_literal('published')
			WHEN attname IN ('server', 'environment', 'pull_id', 'owner', 'status', 'held_by', 'stored_by')
				AND attnotnull
				THEN quote_literal('key NUMBER')
			WHEN t.typtype = 'e' THEN quote_literal('failed')
			WHEN t.typname = 'webhook_state' THEN quote_literal('quarantined')
			WHEN t.typname = 'file_kind' THEN quote_literal('document')
			WHEN t.typname = 'file_state' THEN quote_literal('here')
			WHEN attname = 'time_zone' THEN quote_literal('UTC')
			-- Certificates as they are now, of a tenant who is there, whose upload and facts say something.
			WHEN attname IN ('status', 'basis', 'source') AND atttypid = 'text'::regtype
				THEN quote_literal('key NUMBER')
			WHEN attname = 'row_key' THEN quote_literal('NUMBER') WHEN attname = 'system' THEN quote_literal('yardi')
			WHEN attname = 'coi_sha256' THEN quote_literal('00')
			WHEN attname = 'checks' THEN 'jsonb_build_array(jsonb_build_object(''name'', CANARY, ''result'', CANARY, '
				|| '''detail'', CANARY))'
			WHEN attname = 'known_to' THEN quote_literal('infinity') WHEN attname = 'valid_to' THEN 'NULL'
			WHEN attname = 'payload' THEN 'jsonb_build_object(''policy'', jsonb_build_object(''broker'', '
				|| 'jsonb_build_object(''name'', CANARY, ''phone'', CANARY, ''email'', CANARY), '
				|| '''endorsements'', jsonb_build_array(CANARY)), ''certificate_holder'', '
				|| 'jsonb_build_object(''address'', CANARY, ''email'', CANARY, ''contact_phone'', CANARY))'
			WHEN attname = 'facts' THEN 'jsonb_build_object(''insured_name'', CANARY, ''currency'', CANARY, '
				|| '''form'', CANARY, '
				|| '''form_edition'', CANARY, ''additional_insureds'', jsonb_build_array(CANARY), ''other'', CANARY)'
			WHEN attname = 'drift' THEN quote_literal('{}')
			WHEN attname = 'details' THEN 'jsonb_build_array(jsonb_build_object(''item'', CANARY, ''status'', CANARY, '
				|| '''actual'', CANARY, ''expected'', CANARY))'
			WHEN atttypid = 'jsonb'::regtype THEN 'to_jsonb(CANARY::text)'
			WHEN t.typname = 'personal_date' THEN quote_literal('1942-04-24')
			WHEN t.typname = 'personal_integer' THEN '424242'
			WHEN t.typbasetype = 'text'::regtype THEN 'CANARY'
			WHEN atttypid = 'text'::regtype THEN CASE WHEN e IS NULL THEN 'CANARY' ELSE quote_literal('open') END
			WHEN attname ~ '_hash$' THEN quote_literal('\x00')
			WHEN atttypid = 'bytea'::regtype THEN 'convert_to(CANARY, ''UTF8'')'
			WHEN atttypid = 'bigint[]'::regtype THEN quote_literal('{1}')
			WHEN atttypid = 'text[]'::regtype THEN quote_literal('{open}')
			WHEN atttypid = 'timestamptz'::regtype THEN 'now()' WHEN atttypid = 'date'::regtype THEN 'current_date'
			WHEN atttypid = 'boolean'::regtype THEN 'true'
			WHEN atttypid = 'xid8'::regtype THEN quote_literal('1')
			WHEN atttypid = 'datemultirange'::regtype THEN quote_literal('{[2026-01-01,2026-01-02),[2026-01-05,)}')
			WHEN atttypid = 'interval'::regtype THEN quote_literal('1 month')
			ELSE 'NUMBER' END, ', ' ORDER BY attnum))
		FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid JOIN pg_type t ON t.oid = atttypid
			LEFT JOIN canopy_summit.entities() e ON c.oid = to_regclass('canopy_summit.' || e)
		WHERE c.relkind = 'r' AND c.relnamespace IN ('summit'::regnamespace, 'canopy_summit'::regnamespace)
			AND attnum > 0 AND NOT attisdropped
			AND c.relname NOT IN ('minimisation_rule', 'retention_rule', 'hold_key', 'instance_state', 'added_column',
				'export_system', 'export_column')
		GROUP BY a.attrelid \gexec
		SQL
}

# Columns of views and tables in which a role sees a canary.
sub canaries_seen
{
	my ($database, $role) = @_;
	my $relations = $node->safe_psql($database, <<~"SQL");
		SELECT c.oid::regclass FROM pg_class c
		WHERE relnamespace IN ('canopy'::regnamespace, 'summit'::regnamespace, 'canopy_summit'::regnamespace)
			AND relkind IN ('r', 'v') AND has_table_privilege('$role', c.oid, 'SELECT') ORDER BY 1
		SQL
	my @queries = map {
		"SELECT DISTINCT '$_.' || f.key FROM $_ AS v, jsonb_each_text(to_jsonb(v)) AS f(key, value)
			WHERE f.value ~* 'canary|424242|1942-04-24|[46]3616e617279'"
	} split /\n/, $relations;
	return () unless @queries;
	return sort split /\n/, $node->safe_psql($database, join '; ', "SET ROLE $role", @queries);
}

# Masked columns of the views that a pii_reader may read, other than those given.
sub masked_columns
{
	my $seen = join ', ', map { "'$_'" } @_;
	return <<~"SQL";
		SELECT c.oid::regclass || '.' || attname FROM pg_class c JOIN pg_attribute ON attrelid = c.oid AND attnum > 0
		WHERE relkind = 'v' AND has_table_privilege('has_pii_reader', c.oid, 'SELECT')
			AND col_description(c.oid, attnum) ~ 'without level pii_reader'
			AND c.oid::regclass || '.' || attname NOT IN ($seen)
		SQL
}

# Cells of a level that are in the one view and not in the other.
sub cells
{
	my ($level, $in, $not_in) = @_;
	return <<~"SQL";
		SELECT kind, object, privilege FROM $in WHERE level = '$level'
		EXCEPT SELECT kind, object, privilege FROM $not_in WHERE level = '$level' ORDER BY 1, 2, 3
		SQL
}

# Columns of tables on which a level has another right than by the rules.
sub columns
{
	my ($level) = @_;
	return <<~"SQL";
		SELECT object, attname, privilege
		FROM member m JOIN pg_attribute a ON a.attrelid = m.objid AND a.attnum > 0 AND NOT a.attisdropped,
			unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) AS privilege
		WHERE m.kind = 'table' AND has_column_privilege('has_$level', m.objid, a.attnum, privilege) <> EXISTS (
			SELECT FROM rule r WHERE r.level = '$level' AND r.objid = m.objid AND r.privilege = privilege.privilege
				AND (r.column_name IS NULL OR r.column_name = a.attname))
		ORDER BY 1, 2, 3
		SQL
}

# Views: member, the extension's objects; actual, all cells; granted, those that are; rule, those that should be.
sub define_actual
{
	$node->safe_psql('postgres', <<~'SQL');
		CREATE VIEW member AS
		SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS object,
			CASE WHEN d.classid = 'pg_proc'::regclass THEN 'function'
				WHEN d.classid = 'pg_namespace'::regclass THEN 'schema'
				WHEN d.classid = 'pg_type'::regclass THEN 'type'
				WHEN d.classid = 'pg_foreign_data_wrapper'::regclass THEN 'wrapper'
				WHEN d.classid = 'pg_event_trigger'::regclass THEN 'event trigger'
				WHEN d.classid = 'pg_class'::regclass AND c.relkind = 'S' THEN 'sequence'
				WHEN d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p', 'v', 'm') THEN 'table' END AS kind
		FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'canopy_summit'
			LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
		WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
			-- PostgreSQL 17 lists row types of relations, and array types, beside what they belong to.
			AND NOT EXISTS (SELECT FROM pg_depend i WHERE d.classid = 'pg_type'::regclass
				AND i.classid = d.classid AND i.objid = d.objid AND i.deptype = 'i');

		CREATE VIEW privilege AS
		SELECT kind, unnest(string_to_array(names, ' ')) AS privilege
		FROM (VALUES ('function', 'EXECUTE'), ('schema', 'USAGE CREATE'), ('type', 'USAGE'), ('wrapper', 'USAGE'),
			('sequence', 'USAGE SELECT UPDATE'),
				('table', 'SELECT INSERT UPDATE DELETE TRUNCATE REFERENCES TRIGGER')) AS v(kind, names);

		CREATE VIEW actual AS
		SELECT l.level, m.kind, m.object, p.privilege,
			CASE m.kind WHEN 'function' THEN has_function_privilege(l.role, m.objid, p.privilege)
				WHEN 'schema' THEN has_schema_privilege(l.role, m.objid, p.privilege)
				WHEN 'type' THEN has_type_privilege(l.role, m.objid, p.privilege)
				WHEN 'wrapper' THEN has_foreign_data_wrapper_privilege(l.role, m.objid, p.privilege)
				WHEN 'sequence' THEN has_sequence_privilege(l.role, m.objid, p.privilege)
				WHEN 'table' THEN has_table_privilege(l.role, m.objid, p.privilege)
					OR p.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
						AND has_any_column_privilege(l.role, m.objid, p.privilege) END AS granted
		FROM (SELECT level, 'has_' || level AS role FROM canopy_summit.access_levels()
			UNION ALL SELECT 'nothing', 'has_nothing') l,
			member m JOIN privilege p USING (kind);

		CREATE VIEW granted AS SELECT * FROM actual WHERE granted;

		CREATE TABLE rule AS
		SELECT l.level, r.kind, m.object, m.objid, p.item[1] AS privilege, nullif(trim(c.name), '') AS column_name
		FROM canopy_summit.access_levels() l
			JOIN canopy_summit.access_rules() r ON r.level IN (l.level, l.includes)
			LEFT JOIN member m ON m.kind = r.kind AND m.objid = CASE r.kind WHEN 'table' THEN to_regclass(r.object)::oid
				WHEN 'function' THEN to_regprocedure(r.object)::oid
					WHEN 'schema' THEN to_regnamespace(r.object)::oid END,
			-- "INSERT (a, b), SELECT (a)"; without columns: all.
			LATERAL regexp_matches(r.privilege, '([A-Z]+)(?: \(([^)]*)\))?', 'g') AS p(item)
			LEFT JOIN LATERAL string_to_table(p.item[2], ',') AS c(name) ON true;
		SQL
	return;
}

# A pull in which every field has a value of its own: which of them does who see?
sub readers
{
	my $made = JSON::PP->new->utf8->decode(generated('sentinel'));
	my %secret = map { ($_->{value} => 1) }
	  grep { "$_->{schema}.$_->{field}" =~ $personal && !ref $_->{value} && $_->{value} =~ /^(s:.*|\d{7})$/ }
	  @{ $made->{sentinels} };
	$made->{pull}{is_archived} = JSON::PP::false;
	$made->{pull}{login_error_message} = $made->{pull}{policies}[0]{unknown} = 'secret in extra';
	$secret{'secret in extra'} = 1;
	cmp_ok(scalar keys %secret, '>', 100, 'the pull has plenty of personal values');
	my $pull = CanopyTest::quoted(JSON::PP->new->utf8->encode($made->{pull}));
	$node->safe_psql('postgres', "SELECT canopy_store_pull($pull); ANALYZE");

	my @views = split /\n/, $node->safe_psql(
		'postgres',
		q{SELECT oid::regclass FROM pg_class WHERE relnamespace = 'canopy'::regnamespace AND relkind = 'v'});
	cmp_ok(scalar @views, '>=', 60, 'all views are read');
	my $everything = join '; ', map { "SELECT * FROM $_" } @views;
	my %shown =
	  map { ($_ => $node->safe_psql('postgres', "SET ROLE has_$_; $everything")) } qw(reader pii_reader admin);
	is_deeply(
		[ grep { $shown{reader} =~ /\Q$_\E(?![\w:])/ } sort keys %secret ], [],
		'a reader sees no personal value in any view');
	like($shown{reader}, qr/s:Policy\.carrier_name/, 'but all others');
	like($shown{reader}, qr/\*\*\*/, 'and where there is one');
	is_deeply(
		[ grep { $shown{$_} !~ /\*\*\*/ } qw(pii_reader admin) ], [qw(pii_reader admin)],
		'for a pii_reader nothing is masked');
	is_deeply(
		[ grep { $shown{pii_reader} !~ /\Q$_\E(?![\w:])/ } sort keys %secret ], [],
		'a pii_reader sees every personal value');

	my $base = q{SELECT count(*) FROM pg_stats WHERE schemaname = 'canopy_summit'};
	cmp_ok($node->safe_psql('postgres', $base), '>', 100, 'there are statistics');
	is($node->safe_psql('postgres', "SET ROLE has_$_; $base"), '0', "none for level $_")
	  for qw(reader pii_reader fetcher operator);
	for my $level (qw(reader pii_reader operator fetcher))
	{
		is( scalar sqlstate_of($node, "SET ROLE has_$level; SELECT FROM canopy_summit.$_"), '42501',
			"$level does not read table $_") for qw(pull policy pull_state pull_version account added_column);
	}
	is( $node->safe_psql('postgres', q{SET ROLE has_pii_reader; SELECT pull ->> 'email' FROM canopy.pull_version}),
		's:Pull.email', 'a pii_reader reads versions');
	is( $node->safe_psql('postgres', 'SET ROLE has_reader; SELECT version, pull FROM canopy.pull_version'),
		'1|', 'a reader that there are some');
	is( $node->safe_psql('postgres', <<~'SQL'),
		SELECT level, object FROM rule JOIN pg_class c ON c.oid = objid
		WHERE relkind = 'r' AND level <> 'admin' AND privilege = 'SELECT' AND column_name IS NULL ORDER BY 1, 2
		SQL
		<<~'END' =~ s/\n$//r, 'tables are read where nothing in them is personal, or by who fills them');
			fetcher|table summit.upload_warning
			manager|table summit.export_column
			manager|table summit.export_system
			manager|table summit.insurer
			manager|table summit.minimisation_rule
			manager|table summit.property
			manager|table summit.property_reference
			manager|table summit.requirement
			manager|table summit.requirement_set
			manager|table summit.waiver
			operator|table canopy_summit.billable_day
			operator|table canopy_summit.job_attempt
			operator|table canopy_summit.retention_rule
			operator|table canopy_summit.server_hold
			pii_reader|table summit.insurer
			END

	my ($leaked) = leaked('has_reader');
	like($leaked, qr/leak: \*\*\*/, 'a leaky function in a condition gets to see masked values');
	unlike($leaked, qr/s:/, 'and no others');
	($leaked) = leaked('has_pii_reader');
	like($leaked, qr/leak: s:Pull.email/, 'a pii_reader\'s gets the real ones');
	return;
}

# What a cheap function that tells all gets to see in conditions on masked columns.
sub leaked
{
	my ($role) = @_;
	my (undef, undef, $stderr) = $node->psql('postgres', <<~"SQL");
		SET ROLE $role;
		CREATE FUNCTION pg_temp.leak(value text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
			AS \$\$ BEGIN RAISE NOTICE 'leak: %', value; RETURN false; END \$\$;
		SELECT FROM canopy.pull WHERE pg_temp.leak(email);
		SELECT FROM canopy.pull_all WHERE pg_temp.leak(meta_data::text) AND pg_temp.leak(last_name);
		SELECT FROM canopy.vehicle v JOIN canopy.policy p USING (policy_id)
		WHERE pg_temp.leak(v.vin) AND pg_temp.leak(p.carrier_policy_number);
		SQL
	return $stderr;
}

sub fetchers
{
	my $fetch = "SELECT version, status FROM canopy_fetch_pull('" . $sandbox->pull_id('user_good') . "')";

	$node->safe_psql('postgres', 'GRANT USAGE ON FOREIGN SERVER canopy TO has_fetcher, has_reader, has_nothing');
	is($node->safe_psql('postgres', "SET ROLE has_fetcher; $fetch"), '1|SUCCESS', 'a fetcher fetches');
	is($node->safe_psql('postgres', <<~'SQL'), '1', 'and stores');
		SET ROLE has_fetcher; SELECT version FROM canopy_store_pull('{"pull_id": "mine"}')
		SQL
	is(scalar sqlstate_of($node, "SET ROLE has_$_; $fetch"), '42501', "$_ does not") for qw(reader nothing);
	is( scalar sqlstate_of($node, 'SET ROLE has_fetcher; SELECT FROM canopy.pull'), '42501',
		'a fetcher does not read views');
	is(scalar sqlstate_of($node, 'SET ROLE has_fetcher; SELECT canopy_remap()'), '42501', 'nor remaps');
	$node->safe_psql('postgres', 'REVOKE USAGE ON FOREIGN SERVER canopy FROM has_fetcher');
	is(scalar sqlstate_of($node, "SET ROLE has_fetcher; $fetch"), '42501', 'nor fetches without USAGE on the server');
	return;
}

sub definers
{
	cmp_ok(
		$node->safe_psql('postgres', <<~'SQL'),
			SELECT count(*) FROM member JOIN pg_proc p ON p.oid = objid WHERE kind = 'function' AND prosecdef
			SQL
		'>', 0, 'there are some');
	is( $node->safe_psql('postgres', <<~'SQL'),
		SELECT object, proconfig FROM member JOIN pg_proc p ON p.oid = objid
		WHERE kind = 'function' AND prosecdef AND ('search_path=pg_catalog, pg_temp' = ANY (proconfig)) IS NOT TRUE
		SQL
		'', 'all pin their search path');
	is( $node->safe_psql('postgres', <<~'SQL'),
		SELECT object FROM member JOIN pg_proc p ON p.oid = objid
		WHERE kind = 'function' AND prosqlbody IS NULL AND proconfig IS NULL
			AND prolang IN (SELECT oid FROM pg_language WHERE lanname IN ('sql', 'plpgsql'))
		SQL
		'', 'so do all others whose body is read when they run');
	return;
}

sub comments
{
	is( $node->safe_psql('postgres', <<~'SQL'),
		SELECT object FROM member WHERE coalesce(obj_description(objid, classid::regclass::text::name), '') = ''
		SQL
		'', 'every object has a comment');
	is($node->safe_psql('postgres', q{SELECT count(*) > 100 FROM member}), 't', 'of many');
	$node->safe_psql('postgres', q{SELECT canopy_summit.add_column('policy', 'commented_cents', 'bigint')});
	is( $node->safe_psql('postgres', <<~'SQL'),
		SELECT c.oid::regclass, attname
		FROM pg_class c JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
		WHERE relkind = 'v' AND relnamespace IN ('canopy'::regnamespace, 'summit'::regnamespace)
			AND coalesce(col_description(c.oid, attnum), '') !~ '^(?!NULL without)[A-Za-z]'
		SQL
		'', 'every column of the views says what it is');
	return;
}

sub conflicts
{
	my %objects = (
		'schema canopy' => 'SCHEMA canopy',
		'schema summit' => 'SCHEMA summit',
		'schema canopy_summit' => 'SCHEMA canopy_summit',
		'foreign-data wrapper' => 'FOREIGN DATA WRAPPER summit_api',
		'function' => 'FUNCTION canopy_fetch_pull(INOUT text, boolean, name, OUT integer, OUT boolean, OUT text)');
	my %sqlstates = ('foreign-data wrapper' => '42710', function => '42723');
	my $left = <<~'SQL';
		SELECT count(*) FROM pg_depend d WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
			AND d.refobjid <> (SELECT oid FROM pg_extension WHERE extname = 'plpgsql')
		UNION ALL SELECT count(*) FROM pg_namespace WHERE nspname IN ('canopy', 'summit', 'canopy_summit')
		UNION ALL SELECT count(*) FROM pg_foreign_data_wrapper UNION ALL SELECT count(*) FROM pg_proc
		WHERE proname ~ '^(canopy|summit)_'
		SQL

	$node->safe_psql('postgres', 'CREATE DATABASE conflict');
	for my $name (sort keys %objects)
	{
		my $body = $name eq 'function' ? q{LANGUAGE sql AS $$ SELECT 'x', 1, true, 'x' $$} : '';
		my $create = "CREATE $objects{$name} $body";
		$node->safe_psql('conflict', $create);
		my $before = $node->safe_psql('conflict', $left);
		is( scalar sqlstate_of($node, 'CREATE EXTENSION canopy_summit', database => 'conflict'),
			$sqlstates{$name} // '42P06', "an existing $name stops CREATE EXTENSION");
		is($node->safe_psql('conflict', $left), $before, "and nothing is left but the $name");
		$node->safe_psql('conflict', "DROP $objects{$name}");
	}
	$node->safe_psql('conflict', 'CREATE EXTENSION canopy_summit; DROP EXTENSION canopy_summit');
	is($node->safe_psql('conflict', $left), "0\n0\n0\n0", 'DROP EXTENSION leaves nothing either');
	$node->safe_psql('postgres', 'DROP DATABASE conflict');
	return;
}

sub encodings
{
	for my $encoding (qw(LATIN1 EUC_JP SQL_ASCII))
	{
		$node->safe_psql('postgres', <<~"SQL");
			CREATE DATABASE other_encoding ENCODING '$encoding' LOCALE 'C' TEMPLATE template0
			SQL
		my ($sqlstate, $message, undef, $hint) =
		  sqlstate_of($node, 'CREATE EXTENSION canopy_summit', database => 'other_encoding');
		is($sqlstate, '0A000', "$encoding is refused");
		like($message, qr/UTF8/, "$encoding: the message says why");
		like($hint // '', qr/CREATE DATABASE .* ENCODING 'UTF8'/, "$encoding: the hint says what to do");
		$node->safe_psql('postgres', 'DROP DATABASE other_encoding');
	}
	return;
}

# A signed webhook as SQL values: server, headers, body.
sub webhook
{
	my ($server, $body) = @_;
	my ($scheme, $header) = $server eq 'c' ? qw(summit x-summit-signature) : qw(canopy canopy-signature);
	return <<~"SQL";
		'$server',
		pg_catalog.jsonb_build_object('$header', %s.sign_webhook('secret', '$body'::pg_catalog.text, '$scheme')),
		pg_catalog.convert_to('$body', 'UTF8')
		SQL
}

# The output of the battery in a database of its own, whose extension is in the given schema, after other statements.
sub battery
{
	my ($database, $schema, $install, $before) = @_;
	my $pull_id = $sandbox->pull_id('user_good_complete');
	my $sql = join ";\n", @battery;

	$node->safe_psql('postgres', qq{CREATE DATABASE "$database"});
	$install = join ';', $install, qq{CREATE EXTENSION canopy_summit SCHEMA $schema};
	(undef, undef, my $refused) = $node->psql($database, $install, on_error_stop => 1);
	is($refused, '', 'the extension installs');
	return '' if $refused;
	create_canopy_server($node, $sandbox, database => $database);
	$sql =~ s/%s/$schema/g;
	$sql =~ s/PULL/$pull_id/g;
	my ($status, $stdout, $stderr) = $node->psql($database, join(";\n", $before // '', $sql), on_error_stop => 1);
	is($stderr, '', 'and works');
	$sandbox->reset_state;
	return $stdout;
}

sub odd_schema
{
	my $schema = "\"we ird; N\xc3\xa4me(\"";
	is(battery('odd', $schema, "CREATE SCHEMA $schema"), $plain, 'as in any other schema');
	like($plain, qr/^1\|t\|SUCCESS$/m, 'namely well');

	# PostgreSQL does not substitute such names into scripts (CVE-2023-39417).
	$node->safe_psql('postgres', 'CREATE DATABASE odder');
	for my $name ('we""ird', 'do$$lar', q{quo'te}, 'back\\\\slash')
	{
		$node->safe_psql('odder', qq{CREATE SCHEMA "$name"});
		my ($sqlstate, $message) =
		  sqlstate_of($node, qq{CREATE EXTENSION canopy_summit SCHEMA "$name"}, database => 'odder');
		like(
			"$sqlstate $message", qr/^\w{5} invalid character in extension "canopy_summit" schema/,
			"PostgreSQL refuses schema $name");
	}
	is($node->safe_psql('odder', <<~'SQL'), '', 'and leaves nothing');
		SELECT nspname FROM pg_namespace WHERE nspname ~ '^(canopy|summit)'
		SQL
	return;
}

# Whatever is named like something that the extension uses, in a schema earlier in the caller's path.
sub hostile_path
{
	my $hostile = hostile_objects('exact') . <<~'SQL';
		CREATE SCHEMA evil_types;
		CREATE DOMAIN evil_types.text AS integer;
		CREATE DOMAIN evil_types.jsonb AS integer;
		CREATE DOMAIN evil_types.name AS integer;
		CREATE DOMAIN evil_types.int4 AS integer;
		CREATE DOMAIN evil_types.int8 AS integer;
		CREATE DOMAIN evil_types.bool AS integer;
		CREATE DOMAIN evil_types.numeric AS integer;
		CREATE DOMAIN evil_types.timestamptz AS integer;
		CREATE DOMAIN evil_types.regclass AS integer;
		SQL
	# The tables exist only when the extension does.
	my $tables = <<~'SQL';
		DO $$
		DECLARE
			name text;
		BEGIN
			FOR name IN SELECT relname FROM pg_catalog.pg_class
				WHERE relnamespace = 'canopy_summit'::regnamespace AND relkind IN ('r', 'v') LOOP
				EXECUTE pg_catalog.format('CREATE TABLE evil.%I (hijacked int)', name);
				EXECUTE pg_catalog.format('CREATE TEMP TABLE %I (hijacked int)', name);
			END LOOP;
			CREATE TABLE evil.shredded (hijacked int);
			CREATE TEMP TABLE shredded (hijacked int);
			CREATE TABLE evil.pg_class (hijacked int);
			CREATE TABLE evil.pg_proc (hijacked int);
		END
		$$
		SQL
	my $output = battery('path', 'public', $hostile, "$tables; SET search_path = evil, evil_types, pg_catalog");
	is($output, $plain, 'the same as without them');
	is( scalar sqlstate_of($node, <<~'SQL', database => 'path'),
		SET search_path = evil, pg_catalog; SELECT 1 + 1, pg_catalog.lower('A'), lower('A')
		SQL
		'P0001', 'in this path others are hijacked');
	return;
}

# Whatever fits better than pg_catalog's own objects, in the schema of the extension when it is created.
sub hostile_schema
{
	my $output = battery('schema', 'evil', hostile_objects('closer'));
	is($output, $plain, 'the same as without them');
	is($node->safe_psql('schema', <<~'SQL'), '', 'nothing of the extension uses them');
		SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0), pg_describe_object(d.refclassid, d.refobjid, 0)
		FROM pg_depend d
			LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
				AND o.oprnamespace = to_regnamespace('evil')
			LEFT JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
				AND p.pronamespace = to_regnamespace('evil')
				AND p.proname !~ '^(canopy|summit)_'
		WHERE (o.oid IS NOT NULL OR p.oid IS NOT NULL) AND d.classid <> 'pg_operator'::regclass
		ORDER BY 1, 2
		SQL
	return;
}

# SQL that makes functions and operators in a schema evil that raise an error: of pg_catalog's own names and
# types ('exact'), or for types for which pg_catalog has none and would have to convert ('closer').
sub hostile_objects
{
	my ($which) = @_;
	my $here = $which eq 'exact' ? '' : 'NOT';
	return <<~"SQL";
		CREATE SCHEMA evil;
		DO \$do\$
		DECLARE
			hijack CONSTANT text := 'LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION ''hijacked''; END \$\$';
			types CONSTANT regtype[] := '{text,name,"char",bool,int4,int8,numeric,jsonb,timestamptz,oid,regtype,
				regclass,regnamespace,regproc,regprocedure,regrole,bytea,varchar}';
			item record;
		BEGIN
			FOR item IN
				SELECT o.name, o.result, l AS "left", r AS "right", row_number() OVER () AS number
				FROM (SELECT oprname AS name, min(oprresult::int)::oid::regtype AS result FROM pg_operator
					WHERE oprname IN ('=', '<>', '<', '>', '<=', '>=', '||', '->', '->>', '~', '!~', '*', '+', '-',
						'/')
					GROUP BY oprname) o,
					unnest(types) l, unnest(types) r
				WHERE $here EXISTS (SELECT FROM pg_operator p
					WHERE p.oprname = o.name AND p.oprleft = l AND p.oprright = r)
			LOOP
				EXECUTE format('CREATE FUNCTION evil.operator_%s(%s, %s) RETURNS %s %s', item.number, item."left",
					item."right", item.result, hijack);
				EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.operator_%s, LEFTARG = %s, RIGHTARG = %s)',
					item.name, item.number, item."left", item."right");
			END LOOP;
			FOR item IN
				SELECT DISTINCT proname, arguments
				FROM pg_proc p, LATERAL (SELECT string_agg(
						CASE WHEN '$which' = 'exact' THEN t::regtype::text
							WHEN t = 'text'::regtype THEN 'name' WHEN t = 'oid'::regtype THEN 'regtype'
								ELSE t::regtype::text END, ', '
								ORDER BY n) AS arguments
					FROM unnest(p.proargtypes) WITH ORDINALITY AS u(t, n)) a
				WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0
					AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t JOIN pg_type y ON y.oid = t
						WHERE y.typtype = 'p')
					AND p.proname ~ '^[a-z_0-9]+\$'
						AND ('$which' = 'exact' OR p.proargtypes::oid[] && '{text,oid}'::regtype[]::oid[])
			LOOP
				EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS text %s', item.proname, item.arguments, hijack);
			END LOOP;
		END
		\$do\$;
		SQL
}
