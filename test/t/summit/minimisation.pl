# Does anything of a payload, or of another confidential argument, that is refused get into the server's log,
# or further than to whoever sent it?
use strict;
use warnings;

use CanopyTest;
use Test::More;

my $card = '4111 1111 1111 1111';
my $payload = <<~'JSON';
	{"policy": {"policy_number": "A1", "insurer_name": "Example", "policy_type": "CGL",
	  "effective_date": "2025-01-01", "expiry_date": "2026-01-01"},
	 "certificate_holder": {"name": "Resident Person", "address": "ADDRESS", "additional_insured": true,
	  "waiver_of_subrogation": true, "reference_ids": {"property_id": "KEL-001"}}}
	JSON
my $refused = $payload =~ s/ADDRESS/12 Main St $card/r;
my $late = $payload =~ s/2026-01-01/2024-01-01/r;
my $unknown = $payload =~ s/"name"/"Person $card"/r;

my $node = new_node(conf => "log_min_error_statement = error\nlog_error_verbosity = verbose\nlog_statement = 'none'");
$node->safe_psql('postgres', <<~'SQL');
	CREATE EXTENSION canopy_summit;
	CREATE ROLE clerk;
	SELECT canopy_summit.grant_access('clerk', 'fetcher');
	CREATE TABLE app (payload jsonb);
	GRANT INSERT ON app TO clerk;
	CREATE FUNCTION check_app() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM canopy_summit.check_certificate(NEW.payload);
		RETURN NEW;
	END $$;
	CREATE TRIGGER check_app BEFORE INSERT ON app FOR EACH ROW EXECUTE FUNCTION check_app()
	SQL

my %ways = (
	'a query' => q{SELECT canopy_summit.check_certificate('%s')},
	'a prepared statement' => q{PREPARE p (jsonb) AS SELECT canopy_summit.check_certificate($1); EXECUTE p ('%s')},
	'a trigger' => q{INSERT INTO app VALUES ('%s')},
	'a dynamic statement' => q{DO $do$ BEGIN EXECUTE $sql$SELECT canopy_summit.check_certificate('%s')$sql$; END $do$});

for my $way (sort keys %ways)
{
	for my $case (
		[   'a card number', $refused,
			'certificate_holder.address: looks like a payment card number, which Summit does not accept' ],
		[ 'a wrong date', $late, 'policy.expiry_date: must be after effective_date' ],
		[ 'a name for a key', $unknown, 'certificate_holder.(a key): is not a field that Summit knows' ])
	{
		my ($what, $sent, $expected) = @$case;
		my $from = -s $node->logfile;
		my ($sqlstate, $message, $detail) = sqlstate_of($node, 'SET ROLE clerk; ' . sprintf($ways{$way}, $sent));
		is($sqlstate, '22023', "$way, $what: refused");
		is($message, $expected, "$way, $what: the message names the field");
		unlike($detail // '', qr/Person|1111/, "$way, $what: the detail does not say what it holds");
		my $log = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $from);
		like($log, qr/\Q$expected\E/, "$way, $what: the log has the error");
		unlike($log, qr/Person|1111|KEL-001/, "$way, $what: and nothing of the payload");
	}
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM app'), '0', 'nothing is stored');

# Where an app's trigger defers a refusal, the app's row stays, and ours says why and nothing else.
$node->safe_psql('postgres', <<~'SQL');
	CREATE SERVER summit FOREIGN DATA WRAPPER summit_api
	OPTIONS (base_url 'https://localhost:1', auth_url 'https://localhost:1', environment 'sandbox');
	CREATE USER MAPPING FOR PUBLIC SERVER summit OPTIONS (client_id 'a', client_secret 'b');
	GRANT USAGE ON FOREIGN SERVER summit TO clerk;
	CREATE TABLE lease (lease_id integer PRIMARY KEY, payload jsonb);
	GRANT INSERT ON lease TO clerk;
	CREATE TRIGGER upload AFTER INSERT ON lease FOR EACH ROW
	EXECUTE FUNCTION summit_upload_on_insert('payload', '', 'defer')
	SQL
my $before = -s $node->logfile;
$node->safe_psql('postgres', "SET ROLE clerk; INSERT INTO lease VALUES (7, '$refused')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM lease'), '1', 'a deferred refusal leaves the app its row');
is( $node->safe_psql('postgres', <<~'SQL'),
	SELECT status, error_field, source_table, source_key, job_id IS NULL FROM summit.upload
	SQL
	'refused|certificate_holder.address|public.lease|{"lease_id": 7}|t', 'and says what was refused, and where');
unlike(
	$node->safe_psql('postgres', 'SELECT u::text FROM summit.upload u'), qr/Person|1111|KEL-001/,
	'but keeps nothing of the payload');
unlike(
	substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $before), qr/Person|1111|KEL-001/,
	'nor does the log');

# Every function that takes what is secret or personal, also where what fails is not ours.
my $nowhere = "'no such server'";
my $file = '/no/such/file';
my %refusals = (
	canopy_enqueue => [
		<<~'SQL',
			SELECT canopy_enqueue('post-connect', '{"pullId": "p", "pull-jwt": "CANARY"}',
				'{"insurerPassword": "CANARY"}')
			SQL
		q{SELECT canopy_enqueue('post-idv', '{}', '{"mfaValue": "CANARY"}', priority => 100000)},
		q{SELECT canopy_enqueue('post-widgets', '{}', '{"intro_title": "CANARY"}', ordering_key => 'refused')},
		q{SET ROLE caller; SELECT canopy_enqueue('get-carriers', '{"products": "CANARY"}')} ],
	summit_enqueue => [q{SELECT summit_enqueue('upload-policy', '{}', '{"policy": "CANARY"}')}],
	enqueue_fetch => [q{SELECT canopy_enqueue_fetch('CANARY', NULL)}],
	job_fill => [ <<~'SQL' ],
		INSERT INTO canopy_summit.job (server, operation, body)
		VALUES ('canopy', 'post-idv', '{"mfaValue": "CANARY"}')
		SQL
	fetch_document => [qq{SELECT canopy_fetch_document('CANARY', 'CANARY', server => $nowhere)}],
	fetch_pull => [qq{SELECT canopy_fetch_pull('CANARY', server => $nowhere)}],
	store_pull => [
		q{SELECT canopy_store_pull('{"policies": "CANARY"}')},
		q{SELECT canopy_store_pull('{"pull_id": "refused", "status": "SUCCESS", "email": "CANARY"}')} ],
	call => [q{SELECT canopy_call('get-carriers', '{"publik_alias": "CANARY"}')}],
	(   map { ($_ => ["SELECT canopy_$_('CANARY', 'CANARY', 'CANARY', 'CANARY', 'CANARY')"]) }
		  qw(add_mortgagee edit_mortgagee)),
	remove_mortgagee => [q{SELECT canopy_remove_mortgagee('CANARY', 'CANARY')}],
	add_vehicle => [ <<~'SQL' ],
		SELECT canopy_add_vehicle('CANARY', '{"vin": "CANARY"}', 'CANARY', 'CANARY', 'CANARY', true, '{}', 'CANARY',
			1, 1, '{}', 'CANARY', 'CANARY', true, true, '2026-01-01', '{}')
		SQL
	authorize_url => [q{SELECT canopy_authorize_url('CANARY', '{CANARY}', 'CANARY CANARY')}],
	authorize => [q{SELECT canopy_authorize('CANARY', 'CANARY')}],
	consent => [q{SELECT canopy_consent('CANARY', 1, '')}],
	consent_and_documents =>
	  [q{SELECT canopy_consent_and_documents('{CANARY}', 'CANARY', 1, '', meta_data => '{"m": "CANARY@example.com"}')}],
	consent_and_connect => [
		q{SELECT canopy_consent_and_connect('CANARY', 1, 'CANARY', 'CANARY', 'CANARY@example.com', 'CANARY')},
		q{SELECT canopy_consent_and_connect('d', 1, 'c', 'i', 'user1', meta_data => '{"m": "CANARY@example.com"}')} ],
	connect => [q{SELECT canopy_connect('p', 'CANARY', 'CANARY CANARY', 'CANARY', 'CANARY')}],
	choose_mfa_option => [q{SELECT canopy_choose_mfa_option('p', repeat('CANARY', 100))}],
	submit_mfa => [q{SELECT canopy_submit_mfa('p', 'CANARY')}],
	policy_search => [q{SELECT canopy_policy_search('CANARY', 1, 'CANARY', 'CANARY', 'CANARY', '{"a": "CANARY"}')}],
	exchange_reconnect_token => [qq{SELECT canopy_exchange_reconnect_token('CANARY', $nowhere)}],
	create_servicing =>
	  [q{SELECT canopy_create_servicing('p', '[{"type": "ADD_MORTGAGEE", "payload": {"name": "CANARY"}}]')}],
	register_webhook => [q{SELECT canopy_register_webhook('http://CANARY', '{COMPLETE}')}],
	enrich_property => [qq{SELECT canopy_enrich_property('CANARY', $nowhere)}],
	enrich_driver_license => [ <<~'SQL' ],
		SELECT canopy_enrich_driver_license('CANARY', 'CANARY', '1980-01-01', 'CANARY', 'CANARY', 'CANARY', 'CANARY')
		SQL
	(   map { ($_ => ["SELECT canopy_$_('CANARY', 'CANARY', 'CANARY', 'CANARY', 'CANARY', 'CANARY')"]) }
		  qw(enrich_driving_record enrich_household)),
	check_policies => [q{SELECT canopy_check_policies('p', '{"vehicle": {"VIN_MISMATCH": ["CANARY"]}}')}],
	change_policy_check_settings =>
	  [q{SELECT canopy_change_policy_check_settings('{"vehicle": {"VIN_MISMATCH": ["CANARY"]}}')}],
	connect_link => [q{SELECT canopy_connect_link('alias', '{"mail": "CANARY@example.com"}')}],
	receive_webhook => [q{SELECT receive_webhook('canopy', '{"a": "CANARY"}', 'CANARY')}],
	verify_webhook => [q{SELECT verify_webhook('canopy', '{"a": "CANARY"}', 'CANARY')}],
	webhook_fill => [ map { <<~"SQL" } qw(canopy summit) ],
		INSERT INTO canopy_summit.webhook (server, headers, body)
		VALUES ('$_', '{"a": "CANARY"}', 'CANARY')
		SQL
	verify_webhook_sig => [q{SELECT verify_webhook_sig('CANARY', 't=1,s=2', 'CANARY'::bytea, '2 days')}],
	explain_webhook_sig => [q{SELECT explain_webhook_sig(ARRAY['CANARY'], 't=1,s=2', 'CANARY'::text, '1 month')}],
	sign_webhook => [q{SELECT sign_webhook('CANARY', 'CANARY'::text, 'neither')}],
	check_certificate => [q{SELECT canopy_summit.check_certificate('{"policy": "CANARY"}')}],
	export => [qq{SELECT summit_export('CANARY', '{"a": "CANARY"}', $nowhere)}],
	export_file => [qq{SELECT summit_export_file('CANARY', '{"a": "CANARY"}', $nowhere)}],
	export_changes => [qq{SELECT summit_export_changes('CANARY', 'CANARY', $nowhere)}],
	export_acknowledge =>
	  [qq{SELECT summit_export_acknowledge('CANARY', 'CANARY', '{CANARY}', '{"a": "CANARY"}', $nowhere)}],
	cells_problem =>
	  [q{SELECT canopy_summit.cells_problem('{CANARY}', '{CANARY}', '{CANARY}', '{true}', '{CANARY}', 'none')}],
	export_yardi_xml => [qq{SELECT summit_export_yardi_xml('CANARY', $nowhere)}],
	upload_policy => [q{SELECT summit_upload_policy('{"policy": "CANARY"}')}],
	upload_fill => [q{INSERT INTO summit.upload (payload) VALUES ('{"policy": "CANARY"}')}],
	require_compliant => [q{INSERT INTO gated VALUES ('CANARY')}],
	upload_on_insert => [q{INSERT INTO strict_lease VALUES (1, '{"policy": "CANARY"}')}],
	canopy_validator => [
		q{ALTER USER MAPPING FOR PUBLIC SERVER canopy OPTIONS (SET client_secret 'CANARY', secret 'CANARY')},
		q{CREATE USER MAPPING FOR caller SERVER canopy OPTIONS (client_secret '', client_id 'CANARY')} ],
	endpoint_validator =>
	  [q{CREATE USER MAPPING FOR caller SERVER hooks OPTIONS (webhook_secret '', webhook_secret_file 'CANARY')}],
	summit_validator => [ <<~'SQL' ]);
		CREATE USER MAPPING FOR caller SERVER summit
		OPTIONS (webhook_secret 'CANARY', webhook_secret_file '/x')
		SQL

$node->safe_psql('postgres', <<~"SQL");
	CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox');
	CREATE USER MAPPING FOR PUBLIC SERVER canopy
	OPTIONS (client_id 'a', client_secret 'b', webhook_secret_file '$file');
	ALTER USER MAPPING FOR PUBLIC SERVER summit OPTIONS (ADD webhook_secret 's');
	CREATE SERVER hooks FOREIGN DATA WRAPPER webhook_endpoint OPTIONS (base_url 'https://localhost');
	CREATE ROLE caller;
	GRANT USAGE ON SCHEMA canopy_summit TO caller;
	GRANT USAGE ON FOREIGN SERVER canopy TO caller;
	GRANT EXECUTE ON FUNCTION canopy_enqueue TO caller;
	CREATE TABLE gated (property_id text);
	CREATE TRIGGER gate AFTER INSERT ON gated FOR EACH ROW
	EXECUTE FUNCTION summit_require_compliant('property_id', 'refuse', 'refuse_unknown');
	CREATE TABLE strict_lease (lease_id integer PRIMARY KEY, payload jsonb);
	CREATE TRIGGER upload AFTER INSERT ON strict_lease FOR EACH ROW EXECUTE FUNCTION summit_upload_on_insert('payload');
	-- What others may have added to tables of ours.
	ALTER TABLE canopy_summit.job ADD CHECK (ordering_key <> 'refused');
	ALTER TABLE canopy_summit.pull ADD CHECK (pull_id <> 'refused')
	SQL
is_deeply(
	[ sort map { s/^canopy_summit_//r } split /\n/, $node->safe_psql('postgres', <<~'SQL') ],
		SELECT DISTINCT f.prosrc FROM pg_proc f JOIN pg_language l ON l.oid = f.prolang AND l.lanname = 'c'
			JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e'
			JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'canopy_summit'
		WHERE (f.prorettype = 'trigger'::regtype
				OR string_to_array(f.proargtypes::text, ' ')::oid[] && '{text,text[],jsonb,bytea}'::regtype[]::oid[])
			-- What users call, and what their statements run.
			AND (f.prorettype = 'trigger'::regtype OR f.pronamespace = e.extnamespace OR f.proname LIKE '%validator'
				OR f.oid::regprocedure::text IN (SELECT object FROM canopy_summit.access_rules()
					WHERE level NOT IN ('admin', 'operator')))
			-- A pull's id, names of a server and of its options, and types of documents are no secrets; no HTML fails,
			-- nor what is kept.
			AND f.proname !~ '_monitoring$|_monitor_pull$'
			AND f.proname NOT IN ('canopy_change_webhook', 'canopy_delete_webhook', 'canopy_sync_servicings',
				'canopy_confirm_servicing', 'canopy_archive_pull', 'canopy_enqueue_documents', 'former_names',
				'server_name', 'server_of', 'server_option', 'sanitize_html', 'date_or_null', 'list_cell',
				'list_problem')
			AND f.proname NOT LIKE 'stored\_%'
		SQL
	[ sort keys %refusals ], 'every function that takes confidential arguments is tried');
for my $function (sort keys %refusals)
{
	for my $statement (@{ $refusals{$function} })
	{
		my ($role, $plain) = $statement =~ /^(SET ROLE \w+; )?(.*)/s;
		for my $sent ($statement, ($role // '') . "DO \$do\$ BEGIN EXECUTE \$sql\$$plain\$sql\$; END \$do\$")
		{
			my $from = -s $node->logfile;
			ok(sqlstate_of($node, $sent), "refused: $sent");
			my $log = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $from);
			like($log, qr/ERROR: /, '… the log has the error');
			unlike($log, qr/CANARY|Failing row/, '… and nothing of the arguments');
		}
	}
}

# The same log does hold statements that fail otherwise.
my $from = -s $node->logfile;
sqlstate_of($node, q[SELECT canopy_summit.check_certificate('{"Person": broken')]);
like(
	substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $from), qr/STATEMENT:.*Person/,
	'what is no JSON is logged by PostgreSQL before it gets here');
done_testing();
