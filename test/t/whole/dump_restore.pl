# Does everything come back from a dump, in whichever way it is restored?
use strict;
use warnings;

use CanopyTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my @truth = (
	(   map { "canopy_summit.$_" }
		  qw(account pull_state pull_version added_column job job_attempt job_response job_file server_hold
		  retention_rule task task_part webhook pull_progress auth_status reconnect monitoring monitoring_event
		  servicing_action servicing_answer enrichment billable_day servicing_status data_update
		  document_validation document_file
		  dropped_server policy_status upload_pending status_event certificate import_problem export_feed
		  export_line disclosure notice gate_event)),
	map { "summit.$_" } qw(minimisation_rule upload upload_warning certificate_fact property property_reference
	  export_system export_column requirement_set requirement waiver insurer));
my $inline_secret = 'inline secret';
my $sequences = <<~'SQL';
	SELECT schemaname || '.' || sequencename, coalesce(last_value, 0) FROM pg_sequences
	WHERE schemaname IN ('canopy', 'canopy_summit', 'summit')
	SQL

my $columns = <<~'SQL';
	SELECT attrelid::regclass, attname, format_type(atttypid, atttypmod) FROM pg_attribute
	WHERE attnum > 0 AND NOT attisdropped
		AND attrelid IN (SELECT oid FROM pg_class
			WHERE relnamespace IN ('canopy'::regnamespace, 'canopy_summit'::regnamespace, 'summit'::regnamespace))
	ORDER BY 1, 2
	SQL

my $sandbox = start_sandbox();
my $node = new_node();
my $files = PostgreSQL::Test::Utils::tempdir('files');
my $dumps = PostgreSQL::Test::Utils::tempdir('dumps');
make_source();
my %source = fingerprints('source');
my $granted = privileges('source');
cmp_ok(scalar keys %source, '>', 90, 'tables and views are compared');
is_deeply([ grep { $source{$_} =~ /^0 / } @truth ], [], 'there is something in every table of truth');
is( join(' ', map { empty_columns($_) } grep { /job|upload|hold|rule|webhook/ } @truth), '',
	'and in every column of jobs, uploads and webhooks');
like($granted, qr/restored_reader/, 'privileges are compared');

dump_with(plain => '--file', "$dumps/plain");
dump_with(custom => '-Fc', '--file', "$dumps/custom");
dump_with(directory => '-Fd', '-j4', '--file', "$dumps/directory");
dump_with(data => '--data-only', '--exclude-table=lease', '--file', "$dumps/data");
dump_with(schema => '--schema-only', '--file', "$dumps/schema");
dump_with(rows => '--data-only', '--disable-triggers', '--file', "$dumps/rows");
my $dump = slurp_file("$dumps/plain");
ok(index($dump, $sandbox->client_secret) < 0, 'a dump does not hold a secret that is in a file');
unlike($dump, qr/secret of a (?:job|pull)/, 'nor one that an answer has brought');
ok(index($dump, $inline_secret) >= 0, 'it holds one that is in a user mapping');
is(scalar(() = $dump =~ /^COPY (?:canopy_)?summit\./mg), scalar @truth, 'it holds the tables of truth and no others');

# As on another machine.
unlink "$files/ca.pem", "$files/secret" or die "could not remove files: $!";
my @psql = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1');
restores('plain', [ @psql, '-f', "$dumps/plain" ]);
restores('custom', [ 'pg_restore', '--exit-on-error', "$dumps/custom" ]);
restores('directory', [ 'pg_restore', '--exit-on-error', '-j4', "$dumps/directory" ]);
restores('data', [ @psql, '-f', "$dumps/data" ]);
# As Debian's pg_upgradecluster does; the last one as a tool for replication might.
restores('in_parts', [ @psql, '-f', "$dumps/schema" ], [ @psql, '-f', "$dumps/rows" ]);
restores(
	'parts_of_one', [ 'pg_restore', '--exit-on-error', '--schema-only', "$dumps/custom" ],
	[ 'pg_restore', '--exit-on-error', '--data-only', '--disable-triggers', "$dumps/custom" ]);
restores('as_replica', [ 'env', 'PGOPTIONS=-c session_replication_role=replica', @psql, '-f', "$dumps/plain" ]);
columns_without_triggers();
missing_files();
goes_on();
done_testing();

# A database with several versions, two servers, added columns, property data and replaced bytes.
sub make_source
{
	append_to_file("$files/ca.pem", slurp_file($sandbox->ca_file));
	append_to_file("$files/secret", $sandbox->client_secret . "\n");
	chmod 0600, "$files/secret" or die "could not change mode: $!";
	$node->safe_psql('postgres', 'CREATE DATABASE source; CREATE ROLE restored_reader; CREATE ROLE restored_admin');
	create_canopy_server(
		$node, $sandbox, database => 'source', options => { ca_file => "$files/ca.pem" },
		mapping => { client_secret_file => "$files/secret" });
	create_canopy_server(
		$node, $sandbox,
		database => 'source',
		server => '"second server"',
		mapping => { client_secret_file => undef, client_secret => $inline_secret });

	my $home = $sandbox->pull_id('user_good_home');
	my $commercial = $sandbox->pull_id('user_good_commercial');
	my %strange = (
		%{ $sandbox->pull($home) }, pull_id => 'strange', code => { nested => [ 1, undef ] },
		first_name => "a\0b\\\t\x{e9}");
	$sandbox->put_pull('strange', \%strange);
	$node->safe_psql('source', <<~"SQL");
		SELECT canopy_fetch_pull('$home', true), canopy_fetch_pull('$home', false),
			canopy_fetch_pull('$commercial', true);
		SELECT canopy_fetch_pull('strange');
		SELECT canopy_store_pull(jsonb_set(pull, '{status}', '"CHANGED"'), server, clock_timestamp())
			FROM canopy_summit.pull_version WHERE pull_id IN ('$commercial', 'strange');
		SELECT canopy_store_pull(jsonb_set(pull, '{status}', '"LATE"'), server, '2001-01-01')
			FROM canopy_summit.pull_version WHERE pull_id = '$commercial' AND version = 2;
		SELECT canopy_store_pull(pull, 'second server', '2026-01-01') FROM canopy_summit.pull_version
		WHERE pull_id = 'strange' AND version = 1;
		SELECT canopy_store_pull(jsonb_build_object('pull_id', n::text, 'status', 'SUCCESS', 'account_identifier',
			'account', 'created_at', now() + n * '1 day'::interval))
			FROM generate_series(1, 5) n;
		SELECT canopy_store_pull(jsonb_build_object('pull_id', 'added ' || n, 'policies',
			'[{"code": 1.5, "when": "2026-01-02T00:00:00Z"}]'::jsonb))
		FROM generate_series(1, 5) n;
		SELECT canopy_summit.add_column('pull', 'code', 'jsonb'),
			canopy_summit.add_column('policy', 'code', 'numeric', false),
			canopy_summit.add_column('policy', 'when', 'timestamptz', false), canopy_remap();
		CALL canopy_summit.run_tasks();
		UPDATE summit.minimisation_rule SET enabled = false WHERE rule_id = 'iban';
		INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example, checksum, applies_to, comment)
		VALUES ('own', 'account', '\\mXY(\\d{6})\\M', 'XY123455', 'luhn', '{policy.broker}', 'of this firm');
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "strange"}', ordering_key => 'k');
		SELECT canopy_enqueue_fetch('a', 'b');
		INSERT INTO canopy_summit.job
			SELECT nextval('canopy_summit.job_id_seq'), 'summit', 'upload-policy', '{"Idempotency-Key": "k"}',
				'{"policy": {"name": "a\\\\b\\t\\u00e9"}}', 3, '2026-01-02 03:04:05.000006Z',
				7, 'ordered', 'once', 'key ' || state, 'role "r"', state, canopy_summit.instance(), 2, 1, 3, now(),
					now(), '\\x00ff', 1, 2, now(), now(), E'a\\tb\\\\N', 'code', 503
			FROM unnest(enum_range(NULL::canopy_summit.job_state)) AS state;
		UPDATE canopy_summit.job SET task_id = 7;
		INSERT INTO canopy_summit.job_attempt
		SELECT job_id, fence, 3, '2026-01-02 03:04:05.000006Z', fence > 0, E'it''s \\\\.', 200, 'code', 1, 2, 3, 4,
			5, 6, 7, 1
		FROM canopy_summit.job;
		INSERT INTO canopy_summit.job_response SELECT job_id, '{"a": [1, 2.50, null, "\\\\N"]}', now()
		FROM canopy_summit.job;
		SELECT nextval('canopy_summit.epoch_seq'), canopy_summit.pause_server('canopy', 'for the dump');
		INSERT INTO canopy_summit.server_hold
		VALUES ('summit', 'role "r"', 'refused', '\\x00ff', now(), 'worker', 1, 2, 3);
		INSERT INTO canopy_summit.retention_rule VALUES ('job', '30 days'), ('job_response', '1 mon 2 days 03:04:05.6');
		INSERT INTO canopy_summit.task
		VALUES (nextval('canopy_summit.task_id_seq'), 'remap', '{}', 'running', 1, 2, '{"a": "\\\\N"}', E'a\tb', now(),
			'role "r"', 1, now(), now(), NULL, 'second server', 2, 3);
		INSERT INTO canopy_summit.task_part
		VALUES (currval('canopy_summit.task_id_seq'), nextval('canopy_summit.task_part_seq'), '{"pulls": ["a"]}',
			'infinity', 2, 'problem');
		INSERT INTO summit.upload
			SELECT nextval('canopy_summit.upload_id_seq'), '{"policy": {"name": "a\\\\b\\t\\u00e9"}}', '\\x255044',
				'application/pdf', 'summit', 'key ' || status, 'role "r"', status, n, 'job_' || n, '\\x00ff',
				'P-' || n,
				'CGL', 'I', '2026-01-02', '2027-01-02', E'it''s\\ta', 'p', 'u', 'l', 't', 'https://x/y',
				repeat('0f', 32), 'public."T"',
					'{"id": 9223372036854775807, "at": "2026-01-02 03:04:05+00"}', 'invalid_request',
					'policy.limits', E'\\\\N', 'corr',
				'2026-01-02 03:04:05.000006Z', now(), now(), 1, 2, 3
			FROM unnest('{queued,accepted,verified,failed,unresolved,refused}'::text[]) WITH ORDINALITY AS s(status, n);
		INSERT INTO summit.upload (upload_id, server, owner, status, uploaded_at)
		VALUES (nextval('canopy_summit.upload_id_seq'), 'summit', 'x', 'refused', now());
		INSERT INTO summit.upload_warning SELECT upload_id, field, 'warning'
		FROM summit.upload, unnest('{"certificate_holder.reference_ids.unit_id","b"}'::text[]) AS field;
		ALTER USER MAPPING FOR CURRENT_USER SERVER "second server" OPTIONS (ADD webhook_secret 'w');
		CREATE SERVER summit FOREIGN DATA WRAPPER summit_api
		OPTIONS (auth_url 'https://127.0.0.1:9', base_url 'https://127.0.0.1:9', environment 'sandbox');
		CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (webhook_secret 'w');
		SELECT receive_webhook('second server', jsonb_build_object('canopy-signature', sign_webhook('w', body)),
			convert_to(body, 'UTF8'))
		FROM unnest('{AUTH_STATUS,MONITORING_RECONNECT,MONITORING_EVENTS,SERVICING_STATUS_UPDATED,DATA_UPDATED,
				VALIDATION_COMPLETE,COMPLETE}'::text[]) AS event,
			LATERAL (SELECT jsonb_build_object('event_type', event, 'pull_id', 'from webhook',
				'monitoring', '{"monitoring_id": "m"}'::jsonb, 'data', '{"servicing_action_id": "a",
					"document_validation_id": "d", "type": "RENEWAL",
					"updates": [{"type": "x"}]}'::jsonb)::text) AS b(body);
		SELECT receive_webhook('summit',
			jsonb_build_object('x-summit-signature', sign_webhook('w', body, 'summit')), convert_to(body, 'UTF8'))
		FROM unnest('{first,other}'::text[]) AS p,
			LATERAL (SELECT format('{"delivery_id": "d", "event": "policy.submitted",
				"occurred_at": "2026-01-02T03:04:05Z", "data": {"policy": {"policy_number": "%s"}}}', p)) AS b(body);
		INSERT INTO canopy_summit.document_file (server, kind, owner_id, file_id, state, content)
		VALUES ('canopy', 'document', 'strange', 'd', 'here', '\\x00ff');
		INSERT INTO summit.property (property_id, name, time_zone) VALUES ('KEL-001', E'a\\tb', 'America/Vancouver');
		INSERT INTO summit.property_reference (property_id, unit_id, tenant_id, name)
		VALUES ('KEL-001', '-3', 'RES', E'it''s \\\\N'), ('KEL-001', '007', NULL, NULL);
		SELECT summit_import_roster('yardi', E'PropertyID,UnitID\nKEL-001,7\nKEL-001,1E+05');
		INSERT INTO summit.certificate_fact (policy_number, policy_type, insurer_name, effective_date, expiry_date,
			property_id, unit_id, tenant_id, currency, facts)
		VALUES ('R', 'Renters', 'I', '2026-01-01', '2027-01-01', 'KEL-001', '-3', 'RES', 'CAD', '{"a": 1.50}');
		UPDATE summit.export_column SET date_style = 'M/D/YYYY' WHERE system = 'entrata';
		UPDATE summit.export_system SET line_end = 'CRLF' WHERE system = 'entrata';
		INSERT INTO summit.insurer VALUES (E'a\\tb', E'it''s \\\\N');
		SELECT summit_export_acknowledge('yardi', max(token), NULL, '{"1": "no"}')
		FROM (SELECT (summit_export_changes('yardi')).token) AS c;
		INSERT INTO canopy_summit.disclosure
		VALUES (nextval('canopy_summit.disclosure_id_seq'), 'summit', 'yardi', 'K', 'CA', 'US', 3, now(), 'x');
		INSERT INTO summit.requirement_set (name, scope, scope_value, starts_on, ends_on, comment)
		VALUES (E'S\t', 'property', 'KEL-001', '2026-01-01', '2027-01-01', E'it''s \\N');
		INSERT INTO summit.requirement (requirement_set, version, policy_type, per_occurrence, currency, endorsements)
		VALUES (E'S\t', 1, 'CGL', 1.50, 'CAD', '["a\\\\b"]');
		UPDATE summit.requirement_set SET status = 'published';
		INSERT INTO summit.waiver (requirement_set, property_id, starts_on, ends_on, reason, approved_by)
		VALUES (E'S\t', 'KEL-001', '2026-01-01', '2026-02-01', E'r\t', 'a');
		INSERT INTO canopy_summit.gate_event
		VALUES (nextval('canopy_summit.gate_event_id_seq'), 'summit', 't', '{"a": "\\\\N"}', 'P', NULL, 'L', NULL,
			'fail', '{expired}', '{1}', '2026-01-02', now(), 'x');
		INSERT INTO canopy_summit.notice
		VALUES (nextval('canopy_summit.notice_id_seq'), 'summit', 1, '2027-01-01', 30, now(), now()),
			(nextval('canopy_summit.notice_id_seq'), 'summit', 1, '2027-01-01', 15, now(), NULL);
		INSERT INTO canopy_summit.job_file VALUES (1, 2, 1, E'a\t', 'application/pdf', '\\x00ff');
		INSERT INTO canopy_summit.billable_day VALUES (3, 1, '2026-01-02', 'canopy', 4, 5);
		INSERT INTO canopy_summit.job_secret VALUES (1, 'secret of a job', 3, now());
		INSERT INTO canopy_summit.app_grant
		VALUES (3, now(), now(), NULL, NULL, 1, 1, 'ready', 't', '{a}', 'secret of an App', 'another');
		INSERT INTO canopy_summit.app_authorization
		VALUES (1, 3, now(), NULL, NULL, 1, 1, 's', 'secret verifier', 'u', '{a}');
		INSERT INTO canopy_summit.pull_jwt VALUES (3, 1, 'pull', 'secret of a pull', now());
		INSERT INTO canopy_summit.enrichment (job_id, server, kind, asked_at, asked_by, date_of_birth, answer)
		VALUES (1, 'canopy', 'property', now(), 'x', '1980-02-29', '{"a": "\\\\N"}');
		INSERT INTO canopy_summit.servicing_answer VALUES ('canopy', 'a', 'QUEUED', NULL, now());
		INSERT INTO canopy_summit.dropped_server VALUES (E'dropped\\t', now());
		CREATE TABLE lease (lease_id integer PRIMARY KEY, certificate jsonb);
		CREATE TRIGGER upload AFTER INSERT ON lease FOR EACH ROW
		EXECUTE FUNCTION summit_upload_on_insert('certificate', '', 'defer');
		INSERT INTO lease VALUES (1, '{}');
		SELECT canopy_summit.apply_webhooks(100);
		SELECT receive_webhook('second server', jsonb_build_object('canopy-signature', sign_webhook('w', body)),
			convert_to(body, 'UTF8'))
		FROM unnest(ARRAY['broken', '{"event_type": "COMPLETE", "pull_id": "not applied"}']) AS body;
		INSERT INTO canopy_summit.upload_pending VALUES (1);
		SELECT canopy_summit.grant_access('restored_reader', 'reader'),
			canopy_summit.grant_access('restored_admin', 'admin');
		SQL
	is($node->safe_psql('source', <<~'SQL'), '1', 'some bytes were replaced');
		SELECT count(*) FROM canopy_summit.pull_version WHERE received IS NOT NULL
		SQL
	is( $node->safe_psql('source', q{SELECT count(*) > 0 FROM canopy_summit.property_data}), 't',
		'there is property data');
	is( $node->safe_psql('source', q{SELECT max(version) FROM canopy_summit.pull_version}), '3',
		'there are several versions');
	is($node->safe_psql('source', <<~'SQL'), '5', 'there are added columns');
		SELECT count(*) FROM canopy.policy WHERE code = 1.5 AND "when" = '2026-01-02'
		SQL
	return;
}

# Number of rows and a digest of them, of every table and view of the extension, by name.
sub fingerprints
{
	my ($database) = @_;
	my @names = split /\n/, $node->safe_psql($database, <<~'SQL');
		SELECT oid::regclass FROM pg_class
		WHERE relnamespace IN ('canopy'::regnamespace, 'canopy_summit'::regnamespace, 'summit'::regnamespace)
			AND relkind IN ('r', 'v')
			AND oid <> 'canopy_summit.hold_key'::regclass -- which is made anew, so that no dump helps to guess
		ORDER BY 1
		SQL
	my @rows = split /\n/, $node->safe_psql($database, join ';', map { <<~"SQL" } @names);
		SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "C")), '')
		FROM $_ t
		SQL
	return map { ($names[$_] => $rows[$_]) } 0 .. $#names;
}

# The columns of a table that are NULL in all rows.
sub empty_columns
{
	my ($table) = @_;
	return split /\n/, $node->safe_psql('source', <<~"SQL");
		SELECT '$table.' || attname FROM pg_attribute
		WHERE attrelid = '$table'::regclass AND attnum > 0 AND attname <> ALL (
			ARRAY(SELECT DISTINCT key FROM $table t, jsonb_each(jsonb_strip_nulls(to_jsonb(t)))))
		SQL
}

# Who may do what with the extension's objects, as text.
sub privileges
{
	my ($database) = @_;
	return $node->safe_psql($database, <<~'SQL');
		SELECT pg_describe_object(d.classid, d.objid, 0), a.grantee::regrole, a.privilege_type, a.is_grantable
		FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'canopy_summit'
			LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
			LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
			LEFT JOIN pg_namespace n ON d.classid = 'pg_namespace'::regclass AND n.oid = d.objid,
			LATERAL aclexplode(coalesce(c.relacl, p.proacl, n.nspacl)) a
		WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		ORDER BY 1, 2, 3, 4
		SQL
}

sub dump_with
{
	my ($name, @options) = @_;
	command_ok([ 'pg_dump', '-d', $node->connstr('source'), @options ], "$name dump");
	return;
}

# Sequences that may give a number again. Rows that are restored in parallel may find others there, and what follows
# from them is queued after a sequence was set.
sub behind
{
	my ($name) = @_;
	my %now = split /[|\n]/, $node->safe_psql($name, $sequences);
	my %then = split /[|\n]/, $node->safe_psql('source', $sequences);
	return grep { !defined $now{$_} || $now{$_} < $then{$_} } sort keys %then;
}

# A dump restored into a new database gives the truth at once, and everything else after canopy_remap().
sub restores
{
	my ($name, @commands) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
	$node->safe_psql($name, 'CREATE EXTENSION canopy_summit') if $name eq 'data';
	command_ok([ @$_, '-d', $node->connstr($name) ], "$name dump is restored") for @commands;
	my %restored = fingerprints($name);
	is_deeply([ sort keys %restored ], [ sort keys %source ], "$name: the same tables and views");
	is($node->safe_psql($name, 'SELECT count(*) FROM lease'), 1, "$name: the row of an app's table has no upload more")
	  if $name ne 'data';
	is($restored{$_}, $source{$_}, "$name: every row of $_") for @truth;
	like($restored{'canopy_summit.policy'}, qr/^0 /, "$name: entity rows are not in the dump");
	is(join(' ', behind($name)), '', "$name: sequences go on");
	my $task = $node->safe_psql($name, 'SELECT canopy_remap()');
	$node->safe_psql($name, 'CALL canopy_summit.run_tasks()');
	is( $node->safe_psql($name, "SELECT done FROM canopy_summit.progress WHERE task_id = $task AND state = 'done'"),
		$source{'canopy_summit.pull_state'} =~ s/ .*//r,
		"$name: canopy_remap() goes through all pulls");
	is($node->safe_psql($name, <<~"SQL"), "running|1|t|t", "$name: a task that was under way waits for arm()");
		SELECT t.state, t.done, t.problem ~ 'arm', t.task_id < $task FROM canopy_summit.progress t
		WHERE t.state = 'running'
		SQL
	my %after = fingerprints($name);
	is_deeply(
		[ delete @after{ map { "canopy_summit.$_" } qw(job_secret pull_jwt app_grant app_authorization) } ],
		[ ('0 ') x 4 ],
		"$name: no secret is");
	delete @after{qw(canopy_summit.task canopy_summit.progress)};
	# Which jobs are this instance's, which servers there are, and how old a token is, is another matter.
	delete @after{qw(canopy_summit.server_health canopy.reconnect_needed summit.certificate)};
	# All lines are made again.
	delete $after{'canopy_summit.export_pending'};
	delete $after{'canopy_summit.verdict_today'} if $name eq 'data';
	# Styles are those of the servers that are there.
	delete @after{ map { "canopy_summit.export_$_" } qw(system_now column_now style) };
	delete @after{
		(   map { "canopy.$_" }
			  qw(pull_status monitoring monitoring_event servicing_action servicing_status enrichment
			  data_update
			  document_validation document_file onboarding)),
		map { "summit.$_" }
		  qw(gate_event compliance lease_status status_event status_check roster import_problem disclosure
		  export_problem yardi_export buildium_export entrata_export realpage_export) }
	  if $name eq 'data';
	is_deeply(
		{ map { ($_ => $after{$_}) } keys %after }, { map { ($_ => $source{$_}) } keys %after },
		"$name: afterwards every table and view is the same");
	is($node->safe_psql($name, $columns), $node->safe_psql('source', $columns), "$name: columns have the same types");
	is($node->safe_psql($name, <<~'SQL'), '0|3', "$name: jobs wait to be armed") if $name ne 'data';
		SELECT depth, unarmed FROM canopy_summit.server_health WHERE server = 'canopy'
		SQL
	is($node->safe_psql($name, <<~'SQL'), 'f', "$name: jobs stay those of the original");
		SELECT DISTINCT instance = canopy_summit.instance() FROM canopy_summit.job
		SQL
	is(privileges($name), $granted, "$name: so are all privileges") if $name ne 'data';
	is( $node->safe_psql($name, 'SELECT srvname, srvoptions FROM pg_foreign_server ORDER BY 1'),
		$node->safe_psql('source', 'SELECT srvname, srvoptions FROM pg_foreign_server ORDER BY 1'), "$name: and servers"
	) if $name ne 'data';
	is( $node->safe_psql($name, 'SELECT state, count(*) FROM canopy_summit.webhook GROUP BY 1 ORDER BY 1'),
		"applied|8\nconflict|1\nquarantined|1\nstored|1",
		"$name: webhooks are as they were");
	is($node->safe_psql($name, 'SELECT canopy_summit.apply_webhooks()'), 1, "$name: what was not applied is");
	is($node->safe_psql($name, <<~'SQL'), $name eq 'data' ? '0|' : '1|f', "$name: what it asks for waits for arm()");
		SELECT count(*), bool_or(instance = canopy_summit.instance()) FROM canopy_summit.job
		WHERE params ->> 'pullId' = 'not applied'
		SQL
	is($node->safe_psql($name, <<~'SQL'), "duplicate\nduplicate", "$name: none is taken again") if $name ne 'data';
		SELECT outcome
		FROM canopy_summit.webhook w,
			LATERAL receive_webhook(w.server::name,
				jsonb_build_object('canopy-signature', sign_webhook('w', w.body)), w.body)
		WHERE w.event = 'COMPLETE' ORDER BY w.webhook_id
		SQL
	is($node->safe_psql($name, <<~'SQL'), '3|2', "$name: a changed rule is beside the one it wins over");
		SELECT count(*), count(DISTINCT builtin) FROM summit.minimisation_rule WHERE rule_id IN ('iban', 'own')
		SQL
	return;
}

# A column whose row came while triggers were off is added by whatever needs it next, and only once.
sub columns_without_triggers
{
	my $database = 'columns';
	my $column = <<~'SQL';
		SELECT count(*) FROM information_schema.columns
		WHERE table_name IN ('vehicle', 'vehicle_all') AND column_name = 'late'
		SQL

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	$node->safe_psql($database, <<~'SQL');
		CREATE EXTENSION canopy_summit;
		SET session_replication_role = replica;
		INSERT INTO canopy_summit.added_column VALUES ('vehicle', 'late', 'text', true)
		SQL
	is($node->safe_psql($database, $column), 0, 'the trigger was off');
	$node->safe_psql($database, q{SELECT canopy_summit.add_column('vehicle', 'late', 'numeric', false)});
	is($node->safe_psql($database, $column), 3, 'add_column() adds the column to table and views');
	is( $node->safe_psql($database, q{SELECT type, personal FROM canopy_summit.added_column}), 'numeric|f',
		'as it is told');
	is( scalar sqlstate_of($node, q{SELECT canopy_summit.add_column('vehicle', 'late', 'text')}, database => $database),
		'42701', 'once');
	$node->safe_psql($database, <<~'SQL');
		SET session_replication_role = replica; SELECT canopy_summit.add_column('driver', 'late', 'text', false)
		SQL
	is($node->safe_psql($database, q{SELECT count(late) FROM canopy.driver}), 0, 'also with triggers off');
	return;
}

# Files that are not there matter when they are used, and no sooner.
sub missing_files
{
	my $fetch = "SELECT canopy_fetch_pull('strange')";
	my ($sqlstate, $message) = sqlstate_of($node, $fetch, database => 'plain');
	is($sqlstate, '58P01', 'a secret file that is missing is an error at use');
	like($message, qr/file/, 'that says so');
	append_to_file("$files/secret", $sandbox->client_secret . "\n");
	chmod 0600, "$files/secret" or die "could not change mode: $!";
	is(scalar sqlstate_of($node, $fetch, database => 'plain'), 'F0000', 'so is a CA file');
	append_to_file("$files/ca.pem", slurp_file($sandbox->ca_file));
	return;
}

# A restored database takes up where the other left.
sub goes_on
{
	my $home = $sandbox->pull_id('user_good_home');
	for my $database (qw(source plain custom directory))
	{
		is( $node->safe_psql($database, "SELECT version, changed FROM canopy_fetch_pull('$home')"), '1|f',
			"$database: an unchanged pull has no new version");
		is( $node->safe_psql($database, <<~'SQL'),
			SELECT version, changed FROM canopy_store_pull('{"pull_id": "strange", "status": "NEW"}')
			SQL
			'3|t', "$database: a changed one gets the next number");
		is( $node->safe_psql($database, <<~'SQL'),
			SET client_min_messages = error;
			SELECT (SELECT max(job_id) FROM canopy_summit.job) < canopy_enqueue('get-carriers'),
				(SELECT max(upload_id) FROM summit.upload) < nextval('canopy_summit.upload_id_seq'),
				1 < nextval('canopy_summit.epoch_seq')
			SQL
			't|t|t', "$database: keys go on above those that are there");
	}
	return;
}
