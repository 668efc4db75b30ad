# Does pg_upgrade bring everything along, and does the new cluster send nothing until it is told to?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use Cwd qw(cwd);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox();
my $old = new_worker_node(name => 'old');
my @truth;
my $widgets = 'widgets|pulls/upgraded';

create_canopy_server($old, $sandbox);
$sandbox->put_pull('upgraded', { %{ $sandbox->pull($sandbox->pull_id('user_good')) }, pull_id => 'upgraded' });
fill();
my $new = upgrade();
$old->start;
is_deeply({ fingerprints($new) }, { fingerprints($old) }, 'every table and sequence is as it was');
subtest 'the new cluster' => \&new_cluster;
done_testing();

# Something in every table of truth; jobs that wait, one that is to come, one in doubt, one that has ended.
sub fill
{
	$sandbox->arm(match => { path => '/widgets', body => 'doubtful' }, fault => { kind => 'reset' });
	is( settled($old, enqueue($old, 'post-widgets', {}, { intro_title => 'doubtful' })), 'in_doubt',
		'a job is in doubt');
	is(settled($old, enqueue($old, 'get-pull-by-id', { pullId => 'upgraded' })), 'succeeded', 'one has ended');
	is(settled($old, enqueue($old, 'get-carriers')), 'succeeded', 'one has an answer');
	query($old, <<~'SQL');
		SELECT canopy_summit.pause_server('canopy');
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "upgraded"}', ordering_key => 'k')
		FROM generate_series(1, 3);
		SELECT canopy_enqueue('post-widgets', '{}', jsonb_build_object('intro_title', 'upgraded ' || n))
		FROM generate_series(1, 3) n;
		SELECT canopy_enqueue('post-widgets', '{}', '{"intro_title": "later"}', run_at => now() + interval '1 day');
		INSERT INTO canopy_summit.retention_rule VALUES ('job', '30 days');
		SELECT canopy_summit.add_column('policy', 'code', 'text');
		INSERT INTO canopy_summit.task (task_id, what, args, state, done, started_at, started_by, started_by_oid,
			updated_at, instance)
		VALUES (nextval('canopy_summit.task_id_seq'), 'remap', '{}', 'running', 1, now(), 'x', 1, now(), 3);
		INSERT INTO canopy_summit.task_part VALUES (1, nextval('canopy_summit.task_part_seq'), '{}', now(), 0);
		INSERT INTO summit.minimisation_rule (rule_id, kind, pattern, example, comment)
		VALUES ('own', 'account', '\mXY\d{6}\M', 'XY123456', 'of this firm');
		INSERT INTO summit.upload (upload_id, server, owner, status, uploaded_at)
		VALUES (nextval('canopy_summit.upload_id_seq'), 'summit', 'x', 'accepted', now());
		INSERT INTO summit.upload_warning VALUES (1, 'field', 'warning');
		ALTER USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (ADD webhook_secret 'w');
		CREATE SERVER summit FOREIGN DATA WRAPPER summit_api
		OPTIONS (auth_url 'https://127.0.0.1:9', base_url 'https://127.0.0.1:9', environment 'sandbox');
		CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (webhook_secret 'w');
		-- Those that ask for a fetch would be jobs more; of one the row is enough.
		SELECT receive_webhook('canopy', jsonb_build_object('canopy-signature', sign_webhook('w', body)),
			convert_to(body, 'UTF8'))
		FROM unnest('{AUTH_STATUS,MONITORING_RECONNECT,MONITORING_EVENTS,SERVICING_STATUS_UPDATED,
				VALIDATION_COMPLETE}'::text[]) AS event,
			LATERAL (SELECT jsonb_build_object('event_type', event, 'pull_id', 'from webhook',
				'monitoring', '{"monitoring_id": "m"}'::jsonb,
				'data', '{"servicing_action_id": "a", "document_validation_id": "d", "type": "RENEWAL"}'::jsonb)::text
			) AS b(body);
		SELECT receive_webhook('summit',
			jsonb_build_object('x-summit-signature', sign_webhook('w', body, 'summit')), convert_to(body, 'UTF8'))
		FROM (VALUES ('{"delivery_id": "d", "event": "policy.submitted", "occurred_at": "2026-01-02T03:04:05Z",
			"data": {"policy": {"policy_number": "P"}}}')) AS b(body);
		SELECT canopy_summit.apply_webhooks(100);
		INSERT INTO canopy_summit.document_file (server, kind, owner_id, file_id, state, content)
		VALUES ('canopy', 'document', 'upgraded', 'd', 'here', '\x00ff');
		INSERT INTO canopy_summit.job_file VALUES (1, 2, 1, 'a', 'application/pdf', '\x00ff');
		INSERT INTO summit.property (property_id, time_zone) VALUES ('P', 'America/Vancouver');
		INSERT INTO summit.property_reference (property_id, tenant_id) VALUES ('P', 'T');
		SELECT summit_import_roster('yardi', E'PropertyID,UnitID\nP,1E+05');
		INSERT INTO summit.certificate_fact (policy_number, property_id, currency) VALUES ('F', 'P', 'CAD');
		UPDATE summit.export_column SET date_style = 'M/D/YYYY' WHERE system = 'entrata';
		UPDATE summit.export_system SET line_end = 'CRLF' WHERE system = 'entrata';
		INSERT INTO summit.insurer VALUES ('acme', 'Acme Insurance Company');
		SELECT count(*) FROM summit_export_changes('yardi');
		INSERT INTO canopy_summit.export_pending VALUES (nextval('canopy_summit.export_pending_id_seq'), 1);
		INSERT INTO canopy_summit.disclosure
		VALUES (nextval('canopy_summit.disclosure_id_seq'), 'summit', 'yardi', 'P', 'CA', 'US', 1, now(), 'x');
		INSERT INTO summit.requirement_set (name, scope, scope_value, starts_on)
		VALUES ('S', 'property', 'P', '2026-01-01');
		INSERT INTO summit.requirement (requirement_set, version, policy_type) VALUES ('S', 1, 'CGL');
		INSERT INTO summit.waiver (requirement_set, property_id, ends_on, reason, approved_by)
		VALUES ('S', 'P', '2100-01-01', 'r', 'a');
		INSERT INTO canopy_summit.gate_event
		VALUES (nextval('canopy_summit.gate_event_id_seq'), 'summit', 't', NULL, 'P', NULL, NULL, NULL, 'fail',
			'{expired}', '{1}', '2026-01-02', now(), 'x');
		INSERT INTO canopy_summit.notice
		VALUES (nextval('canopy_summit.notice_id_seq'), 'summit', 1, '2027-01-01', 30, now(), NULL);
		INSERT INTO canopy_summit.dropped_server VALUES ('dropped', now());
		INSERT INTO canopy_summit.billable_day VALUES (3, 1, '2026-01-02', 'canopy', 4, 5);
		INSERT INTO canopy_summit.enrichment (job_id, server, kind, asked_at, asked_by)
		VALUES (1, 'canopy', 'property', now(), 'x');
		INSERT INTO canopy_summit.servicing_answer VALUES ('canopy', 'a', 'QUEUED', NULL, now());
		INSERT INTO canopy_summit.data_update VALUES (0, 1, 'canopy', 'from webhook', 'DRIVER_ADDED', '{}', now());
		SQL
	# The tables that a dump holds, and some that it need not.
	@truth = split /\n/, query($old, <<~'SQL');
		SELECT c.oid::regclass
		FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
			JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'canopy_summit' WHERE c.relkind IN ('r', 'S')
				ORDER BY 1
		SQL
	my %filled = fingerprints($old);
	is_deeply(
		# What waits for a worker that is there does not wait for long.
		[   grep { ($filled{$_} // '0 ') =~ /^0 / && !/upload_pending/ } split /\n/,
			query($old, <<~'SQL') ], [], 'there is something in every table of truth');
				SELECT unnest(extconfig)::regclass FROM pg_extension WHERE extname = 'canopy_summit'
				SQL
	return;
}

# Number of rows and a digest of them.
sub fingerprints
{
	my ($node) = @_;
	my @rows = split /\n/, query(
		$node,
		join ';',
		map {
			my $columns = /_seq$/ ? 'last_value, is_called' : 't.*';
			<<~"SQL" } @truth);
				SELECT count(*) || ' ' || coalesce(md5(string_agg(r::text, E'\\n' ORDER BY r::text COLLATE "C")), '')
				FROM (SELECT $columns FROM $_ t) r
				SQL
	return map { ($truth[$_] => $rows[$_]) } 0 .. $#truth;
}

# The new cluster's programs. pg_upgrade calls LOAD, which from PostgreSQL 18 on looks for what an extension names
# nowhere but in $libdir: that of copies is beside them.
sub new_programs
{
	my ($bin, $lib, $share) = map { $old->config_data($_) } qw(--bindir --pkglibdir --sharedir);
	my $root = PostgreSQL::Test::Utils::tempdir('programs');

	return $bin if $old->pg_version < 18;
	system_or_bail('mkdir', '-p', map { $root . dirname($_) } $bin, $lib, $share);
	system_or_bail('cp', '-r', $bin, "$root$bin");
	system_or_bail('mkdir', "$root$lib");
	system_or_bail('ln', '-s', glob("$lib/*"), "$ENV{CANOPY_TREE}$lib/canopy_summit.so", "$root$lib");
	system_or_bail('ln', '-s', $share, "$root$share");
	return "$root$bin";
}

# The old cluster stays as it was; neither has a worker.
sub upgrade
{
	my $bin = $old->config_data('--bindir');
	my $new_bin = new_programs();
	my $dir = PostgreSQL::Test::Utils::tempdir('upgrade');
	my $here = cwd();
	my $new = new_node(name => 'new', init => { force_initdb => 1 }, start => 0);

	$old->stop;
	$old->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
	chdir $dir or die "could not change to $dir: $!";
	command_ok(
		[   "$bin/pg_upgrade", '--no-sync', '-b', $bin, '-B', $new_bin, '-d', $old->data_dir, '-D', $new->data_dir,
			'-p', $old->port, '-P', $new->port, '-s', $new->host ],
		'pg_upgrade');
	chdir $here or die "could not change to $here: $!";
	$new->start;
	return $new;
}

sub new_cluster
{
	$old->stop;
	$sandbox->clear_log;
	$new->append_conf('postgresql.conf', "shared_preload_libraries = 'canopy_summit'\n");
	$new->restart;
	query($new, q{SELECT canopy_summit.resume_server('canopy')});
	is(settled($new, enqueue($new, 'post-widgets', {}, { intro_title => 'new' }), 30), 'succeeded', 'it sends its own');
	is(scalar(requests($sandbox, $widgets)), 1, 'and nothing else');
	is(query($new, <<~'SQL'), '0|7', 'it knows of the others');
		SELECT depth, unarmed FROM canopy_summit.server_health WHERE server = 'canopy'
		SQL
	is(query($new, 'SELECT canopy_summit.arm()'), 8, 'arm() adopts them');
	all_settled($new, 'run_at <= now()', 30);
	is(jobs_by_state($new), 'in_doubt 1, queued 1, succeeded 9', 'those that are due are sent');
	my %seen;
	$seen{ $_->{method} eq 'POST' ? $_->{body} : $_->{method} }++ for requests($sandbox, $widgets, 'method,body');
	is(delete $seen{GET}, 3, 'fetches');
	is_deeply([ values %seen ], [ 1, 1, 1, 1 ], 'and writes, each once');
	is(query($new, <<~'SQL'), 0, 'by attempts that count');
		SELECT count(*) FROM canopy_summit.job_attempt a JOIN canopy_summit.job j USING (job_id)
		WHERE j.state = 'succeeded' AND NOT a.settled
		SQL
	return;
}
