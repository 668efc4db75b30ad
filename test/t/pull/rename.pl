# Do all rows of a server that is renamed get its new name, while others write them, and whatever dies meanwhile?
use strict;
use warnings;

use CanopyJobs;
use CanopyProcess;
use CanopyTest;
use JSON::PP ();
use Test::More;

my $seed = test_seed();
my $sandbox = start_sandbox();
# Without workers, tasks are open until they are done by CALL.
my $node = new_node();
my $pull_id = $sandbox->pull_id('user_good_home');
my %tables;

create_canopy_server($node, $sandbox, mapping => { webhook_secret => 'w' });
query($node, definitions());
%tables = named_tables();
fill();
subtest 'all rows follow' => \&follow;
subtest 'written while the task is open' => \&while_open;
subtest 'renamed again' => \&again;
subtest 'names that are not free' => \&refused;
subtest 'whoever writes waits for whoever renames, and the other way round' => \&uncommitted;
subtest 'what might be left behind' => \&corners;
subtest 'a server that is dropped' => \&dropped;
$node->stop;
subtest 'killed while fetches go on' => \&killed;
done_testing();

sub follow
{
	my $before = rows('canopy');
	my $views = views('canopy');

	is(rows('canopy', 'summit') =~ s/ \d+$//mgr, join("\n", sort keys %tables), 'every table has some');
	my (undef, $task, $notice) = $node->psql('postgres', q{SELECT canopy_summit.rename_server('canopy', 'other')});

	like($notice, qr/no worker will do this task.*CALL canopy_summit.run_tasks/s, 'it says who does it');
	is(rows('canopy'), $before, 'nothing has moved before');
	is( query($node, 'SELECT count(*) FROM canopy.pull_status WHERE environment IS NULL'), 0,
		'whose environment is known');
	query($node, 'CALL canopy_summit.run_tasks()');
	is(rows('canopy'), '', 'no row has the old name');
	is(rows('other'), $before, 'all have the new one');
	is(views('other'), $views, 'views show the same');
	is( query(
			$node, "SELECT state, done, done = total, server, what FROM canopy_summit.progress WHERE task_id = $task"),
		'done|' . keys_of('other') . '|t|other|rename',
		'the task counts what it has done');
	query($node, 'ALTER SERVER other RENAME TO canopy; CALL canopy_summit.run_tasks()');
	is(rows('canopy'), $before, 'and back, by a plain ALTER SERVER');
	is( query($node, q{SELECT canopy_summit.rename_server('empty', 'void') IS NULL}), 't',
		'without rows there is no task');
	query($node, 'ALTER SERVER void RENAME TO empty');
	return;
}

# Nothing comes to be there under both names, and what is written is what it would have been.
sub while_open
{
	query($node, q{SELECT canopy_summit.rename_server('canopy', 'other')});
	is( query(
			$node,
			"SELECT changed FROM canopy_fetch_document('$pull_id', (SELECT document_id FROM a_document), 'other')"),
		'f',
		'a document that is here');
	is(stored('lone', 2), '2|t', 'a pull that stands alone has its next version');
	is(stored('first', 2), '2|t', 'and one of an account');
	is( query(
			$node, q{SELECT string_agg(pull_id, ' ' ORDER BY pull_id) FROM canopy_summit.pull_state
		WHERE server = 'other' AND account_identifier = 'account'}),
		'first second third',
		'whose other pulls follow');
	is(stored('fourth', 1, 'far'), '1|t', 'a new pull of an account');
	is(query($node, 'SELECT * FROM wrong_choice'), '', 'views show the right pull of each account');
	is(stored('moves', 1, 'far'), '2|t', 'a pull that is of another account now');
	is( query($node, "SELECT version FROM canopy_fetch_pull('$pull_id', server => 'other')"), 1,
		'a pull that is as it was');
	is(query($node, "SELECT canopy_archive_pull('$pull_id', true, 'other')"), 't', 'one is archived');
	is( query($node, "SELECT count(*) FROM canopy_summit.pull_version WHERE pull_id = '$pull_id' AND server = 'other'"),
		2, 'and fetched');
	is(query($node, "SELECT canopy_enqueue_documents('$pull_id', server => 'other')"), 0, 'which is not wanted again');
	my $told = query($node, q{SELECT first_event_at FROM canopy_summit.pull_progress WHERE pull_id = 'told'});
	receive('other', 'MONITORING_RECONNECT');
	receive('other', 'COMPLETE');
	is( query(
			$node,
			q{SELECT string_agg(concat(server, ' ', completed_at IS NOT NULL), ',') FROM canopy_summit.pull_progress
			WHERE pull_id = 'told'}
		),
		'other t',
		'what webhooks tell of a pull is told of once');
	is( query($node, q{SELECT first_event_at FROM canopy_summit.pull_progress WHERE pull_id = 'told'}), $told,
		'with what was told before');
	is(query($node, twins()), '', 'nothing is there under both names');
	query(
		$node,
		q{INSERT INTO summit.property (server, property_id, time_zone) VALUES ('summit', 'KEL-001', 'UTC');
		INSERT INTO summit.export_system (server, system) VALUES ('summit', 'realpage')}
	);
	query($node, q{SELECT canopy_summit.rename_server('summit', 'peak')});
	my $verdict = q{SELECT verdict, codes FROM canopy_summit.gate_verdict('KEL-001', NULL, NULL, NULL)};
	is(query($node, $verdict), 'unknown|{server_renamed}', 'nobody is judged by a part of what is known');
	is( scalar sqlstate_of($node, q{INSERT INTO summit.export_system (server, system) VALUES ('peak', 'realpage')}),
		'23505', 'a style that the server has is not added beside it');
	policy_event('peak', 'verified');
	is( query($node, 'SELECT server, status FROM canopy_summit.policy_status'), 'peak|verified',
		'so it is with certificates');
	is(query($node, 'SELECT canopy_remap() IS NOT NULL'), 't', 'rows are made anew meanwhile');
	query($node, 'CALL canopy_summit.run_tasks()');
	is(rows('canopy') . rows('summit'), '', 'then nothing has the old names');
	is(query($node, 'SELECT * FROM wrong_choice'), '', 'views show the right pull of each account');
	is( query($node, 'SELECT count(*) FROM canopy_summit.account'),
		query($node, 'SELECT count(DISTINCT account_identifier) FROM canopy_summit.account'),
		'accounts are there once');
	is(query($node, $verdict), '|', 'and holders are judged again');
	query($node, q{DELETE FROM summit.property WHERE property_id = 'KEL-001'});
	query(
		$node,
		'ALTER SERVER other RENAME TO canopy; ALTER SERVER peak RENAME TO summit; CALL canopy_summit.run_tasks()');
	return;
}

sub again
{
	my $before = without_versions('canopy');
	query($node, 'ALTER SERVER canopy RENAME TO a; ALTER SERVER a RENAME TO b');
	is(stored('lone', 3, undef, 'b'), '3|t', 'a pull follows from the first name');
	query($node, 'CALL canopy_summit.run_tasks()');
	is(without_versions('b'), $before, 'renamed twice');
	query($node, 'ALTER SERVER b RENAME TO canopy; ALTER SERVER canopy RENAME TO b; ALTER SERVER b RENAME TO canopy');
	is( query($node, 'CALL canopy_summit.run_tasks(); SELECT count(*) FROM canopy_summit.task WHERE state <> $$done$$'),
		0, 'to and fro');
	query($node, <<~'SQL');
		BEGIN;
		SELECT canopy_store_pull(a_pull('lone', 4));
		SAVEPOINT s;
		ALTER SERVER canopy RENAME TO a;
		SELECT canopy_store_pull(a_pull('lone', 5), 'a');
		ROLLBACK TO s;
		SELECT canopy_store_pull(a_pull('lone', 6));
		ALTER SERVER canopy RENAME TO c;
		SELECT canopy_store_pull(a_pull('lone', 7), 'c');
		COMMIT;
		SQL
	is( query(
			$node,
			q{SELECT count(*), max(version) FROM canopy_summit.pull_version WHERE pull_id = 'lone' AND server = 'c'}),
		'6|6',
		'renamed and stored in one transaction, after a part of it was undone');
	query($node, 'CALL canopy_summit.run_tasks(); ALTER SERVER c RENAME TO canopy; CALL canopy_summit.run_tasks()');
	is(without_versions('canopy'), $before, 'nothing is left behind');
	return;
}

sub refused
{
	my $refused = sub {
		my ($sql, $sqlstate, $message, $hint, $what) = @_;
		my @error = sqlstate_of($node, "SET client_min_messages = warning; $sql");
		is($error[0], $sqlstate, "$what: SQLSTATE");
		like($error[1], $message, "$what: message");
		like($error[3] // '', $hint, "$what: hint");
	};
	$refused->(
		q{SELECT canopy_summit.rename_server('nobody', 'x')}, '42704', qr/server "nobody" does not exist/,
		qr/CREATE SERVER/, 'no server');
	$refused->(
		q{CREATE FOREIGN DATA WRAPPER foreign_one; CREATE SERVER foreign_one FOREIGN DATA WRAPPER foreign_one;
			SELECT canopy_summit.rename_server('foreign_one', 'x')}, '42809', qr/is not a server of foreign-data/, qr//,
		'another wrapper');
	$refused->(
		q{SELECT canopy_summit.rename_server('canopy', 'summit')}, '42710', qr/server "summit" already exists/,
		qr//, 'a name that is taken');
	$refused->(
		q{SET ROLE operates; SELECT canopy_summit.rename_server('canopy', 'x')}, '42501',
		qr/must be owner of foreign server canopy/, qr//,
		'not the owner');
	$refused->(
		q{SET ROLE anybody; SELECT canopy_summit.rename_server('canopy', 'x')}, '42501',
		qr/permission denied for schema canopy_summit/, qr//,
		'without a level');
	query($node, 'ALTER SERVER canopy RENAME TO other');
	$refused->(
		q{CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox')}, '42710',
		qr/rows of server "other" still have the name "canopy"/,
		qr/wait_for_task\(\d+\).*run_tasks/, 'a new server of a name that rows have');
	$refused->(
		'ALTER SERVER empty RENAME TO canopy', '42710', qr/rows of server "other" still have the name "canopy"/,
		qr/wait_for_task/,
		'another one that gets it');
	query($node, 'CREATE SERVER canopy FOREIGN DATA WRAPPER foreign_one; DROP SERVER canopy');
	query(
		$node,
		'CALL canopy_summit.run_tasks(); ALTER SERVER empty RENAME TO canopy; ALTER SERVER canopy RENAME TO empty');
	query($node, 'ALTER SERVER other RENAME TO canopy; CALL canopy_summit.run_tasks()');
	is( scalar sqlstate_of($node, 'BEGIN READ ONLY; SELECT canopy_summit.rename_server($$canopy$$, $$x$$)'), '25006',
		'a read-only transaction');
	return;
}

# Who stores has the server's name until the end of the transaction.
sub uncommitted
{
	my ($renames, $stores) = map { open_session($node) } 1 .. 2;
	$_->query_safe('SET client_min_messages = warning') for $renames, $stores;
	my $waits = sub {
		my ($what) = @_;
		return wait_until($what, sub { query($node, <<~'SQL') });
			SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = x'C507'::int - 65536 AND NOT granted
			SQL
	};

	$renames->query_safe('BEGIN; ALTER SERVER canopy RENAME TO other');
	$stores->query_until(
		qr/started/,
		"\\echo started\nSELECT canopy_store_pull(a_pull('lone', 8), 'canopy'); SELECT 'has stored';\n");
	$waits->('who stores waits');
	is( query($node, "SELECT receive_webhook('canopy', signed(b), b) IS NULL FROM a_body('COMPLETE', 'waits') AS b"),
		'f',
		'a webhook comes in');
	is(query($node, 'SELECT canopy_summit.apply_webhooks()'), 0, 'and waits too');
	$renames->query_safe('COMMIT');
	$stores->query_until(qr/has stored/, '');
	is( query($node, q{SELECT string_agg(DISTINCT server, ' ') FROM canopy_summit.pull_version WHERE pull_id = 'lone'}),
		'other',
		'it is stored under the new name, with all before');
	is(query($node, 'SELECT canopy_summit.apply_webhooks()'), 1, 'the webhook is applied');
	is( query($node, q{SELECT server FROM canopy_summit.pull_progress WHERE pull_id = 'waits'}), 'other',
		'under the new name');
	query($node, 'CALL canopy_summit.run_tasks()');

	$stores->query_safe("BEGIN; SELECT canopy_store_pull(a_pull('lone', 9), 'other')");
	$renames->query_until(qr/started/, "\\echo started\nALTER SERVER other RENAME TO canopy; SELECT 'has renamed';\n");
	$waits->('who renames waits');
	$stores->query_safe('COMMIT');
	$renames->query_until(qr/has renamed/, '');
	query($node, 'CALL canopy_summit.run_tasks()');
	is(rows('other'), '', 'what was stored just before has followed');

	query($node, <<~'SQL');
		CREATE TABLE gated (property text, lease text PRIMARY KEY);
		CREATE TRIGGER gate AFTER INSERT ON gated FOR EACH ROW
			EXECUTE FUNCTION summit_require_compliant('property, lease')
		SQL

	# Rows of every kind that users write; those of fill() have taken no numbers.
	query(
		$node,
		"SELECT setval('canopy_summit.' || name, 1000)
		FROM unnest('{fact_id_seq,gate_event_id_seq,disclosure_id_seq}'::text[]) AS name"
	);
	for my $statement (
		q{INSERT INTO summit.certificate_fact (server, policy_number) VALUES ('summit', 'written')},
		q{INSERT INTO summit.export_system (server, system) VALUES ('summit', 'entrata')},
		q{SELECT count(*) FROM summit_export_changes('entrata')},
		q{INSERT INTO summit.property (server, property_id, time_zone) VALUES ('summit', 'BUR-001', 'UTC')},
		q{INSERT INTO gated VALUES ('BUR-001', 'a lease')})
	{
		$stores->query_safe("BEGIN; $statement");
		$renames->query_until(
			qr/started/,
			"\\echo started\nALTER SERVER summit RENAME TO peak; SELECT 'has renamed';\n");
		$waits->("who renames waits for: $statement");
		$stores->query_safe('COMMIT');
		$renames->query_until(qr/has renamed/, '');
		query($node, 'CALL canopy_summit.run_tasks()');
		is(rows('summit'), '', "$statement: has followed");
		query($node, 'ALTER SERVER peak RENAME TO summit; CALL canopy_summit.run_tasks()');
	}

	# A snapshot of before the rename.
	my $reads = open_session($node, on_error_stop => 0);
	$reads->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM canopy_summit.pull_state');
	query($node, 'ALTER SERVER canopy RENAME TO other; CALL canopy_summit.run_tasks()');
	$reads->query(q{SELECT canopy_store_pull(a_pull('lone', 10), 'other')});
	like($reads->{stderr}, qr/could not serialize access/, 'who sees the old rows only has to try again');
	$_->quit for $renames, $stores, $reads;
	query($node, 'ALTER SERVER other RENAME TO canopy; CALL canopy_summit.run_tasks()');
	return;
}

sub corners
{
	my $before = without_versions('canopy');

	# A snapshot that sees neither the rows nor the rename.
	my $reads = open_session($node, on_error_stop => 0);
	$reads->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	query($node, q{SELECT canopy_store_pull(a_pull('unseen', 1))});
	query($node, 'ALTER SERVER canopy RENAME TO other');
	$reads->query(q{SELECT canopy_store_pull(a_pull('unseen', 2), 'other')});
	like(
		$reads->{stderr}, qr/could not serialize access: server "other" was renamed/,
		'an old snapshot writes nothing');
	$reads->quit;
	is( query($node, "SELECT canopy_refresh_stale('0 s', 'other') > 0"),
		't', 'what has not followed is refreshed all the same');

	# A task that has failed, and a rule that lets tasks go.
	query($node, <<~'SQL');
		UPDATE canopy_summit.task SET state = 'failed', finished_at = now() - interval '1 day'
		WHERE what = 'rename' AND state <> 'done';
		INSERT INTO canopy_summit.retention_rule VALUES ('task', '1 h');
		SELECT canopy_summit.apply_retention();
		SQL
	query($node, 'CALL canopy_summit.run_tasks(); DELETE FROM canopy_summit.retention_rule');
	is(stored('unseen', 3), '2|t', 'retention leaves a rename that has failed: pulls go on following');
	query($node, q{SELECT canopy_summit.retry_task(task_id) FROM canopy_summit.task WHERE state = 'failed'});
	query($node, 'CALL canopy_summit.run_tasks()');
	is(rows('canopy'), '', 'and all the rest once it is tried again');
	query($node, 'CREATE TABLE left_over AS SELECT * FROM canopy_summit.pull_state WHERE pull_id = $$unseen$$');
	query($node, "DELETE FROM canopy_summit.$_ WHERE pull_id = 'unseen'") for qw(pull_state pull_version pull policy);

	# A name of which only rows know.
	query(
		$node,
		q{UPDATE left_over SET server = 'ghost'; INSERT INTO canopy_summit.pull_state SELECT * FROM left_over});
	is( scalar sqlstate_of($node, 'ALTER SERVER other RENAME TO ghost'), '42710',
		'a name that rows have whose server nobody knows');
	query($node, q{DELETE FROM canopy_summit.pull_state WHERE server = 'ghost'});

	query($node, 'ALTER TABLE canopy_summit.pull_version REPLICA IDENTITY FULL');
	query($node, 'SET session_replication_role = replica; ALTER SERVER other RENAME TO canopy');
	query(
		$node,
		'CALL canopy_summit.run_tasks();
		ALTER TABLE canopy_summit.pull_version REPLICA IDENTITY USING INDEX pull_version_key'
	);
	is(without_versions('canopy'), $before, 'by whatever session, and whatever a subscriber needs');
	query($node, 'ALTER EVENT TRIGGER canopy_summit_rename DISABLE');
	is_deeply(
		[ (sqlstate_of($node, q{SELECT canopy_summit.rename_server('canopy', 'other')}))[ 0, 1 ] ],
		[ '55000', 'rows of server "canopy" do not follow it' ], 'rename_server() does not leave them behind');
	query($node, 'ALTER EVENT TRIGGER canopy_summit_rename ENABLE ALWAYS');

	# Whoever may not rename it is in nobody's way, nor anybody in his.
	my $stores = open_session($node);
	$stores->query_safe("BEGIN; SELECT canopy_store_pull(a_pull('lone', 11))");
	is( scalar sqlstate_of($node, 'SET ROLE anybody; ALTER SERVER canopy RENAME TO other'), '42501',
		'who may not is told at once');
	$stores->query_safe('COMMIT');
	$stores->quit;
	return;
}

sub dropped
{
	my $health =
	  sub { query($node, 'SELECT server, dropped_at IS NOT NULL FROM canopy_summit.server_health ORDER BY 1') };

	is($health->(), "canopy|f\nempty|f\nsummit|f", 'each server is there');
	query($node, 'SET client_min_messages = warning; DROP SERVER empty; DROP SERVER summit CASCADE');
	is($health->(), "canopy|f\nsummit|t", 'one whose rows are here is still shown, and one without is not');
	is_deeply(
		[ (sqlstate_of($node, 'ALTER SERVER canopy RENAME TO summit'))[ 0, 1, 3 ] ],
		[   '42710', 'rows of another server have the name "summit"',
			'Choose another name. CREATE SERVER summit makes a server that has these rows.' ],
		'nobody else gets its name');
	query(
		$node,
		q{CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (base_url 'https://127.0.0.1:9',
			auth_url 'https://127.0.0.1:9')}
	);
	is($health->(), "canopy|f\nsummit|f", 'but a new server, which has the rows');
	query(
		$node,
		'ALTER SERVER summit OWNER TO operates; SET client_min_messages = warning; DROP OWNED BY operates CASCADE');
	is($health->(), "canopy|f\nsummit|t", 'one that is dropped with all of its owner');
	query(
		$node,
		'SET client_min_messages = warning; ALTER SERVER canopy RENAME TO other; DROP SERVER other CASCADE');
	is($health->(), "other|t\nsummit|t", 'one that was being renamed, under its last name');
	is( scalar sqlstate_of(
			$node,
			'CREATE SERVER fifth FOREIGN DATA WRAPPER canopy_api; ALTER SERVER fifth RENAME TO other'),
		'42710',
		'whose name nobody else gets, though its rows have not followed yet');
	query($node, 'DROP SERVER fifth');
	query($node, 'CREATE SERVER other FOREIGN DATA WRAPPER canopy_api; ALTER SERVER other RENAME TO third');
	is($health->(), "summit|t\nthird|f", 'a new one of that name, renamed at once');
	is(stored('lone', 12, undef, 'third'), '10|t', 'has all of its rows');
	query($node, 'CALL canopy_summit.run_tasks()');
	is(rows('canopy', 'other'), '', 'which follow it');
	query($node, 'SET client_min_messages = warning; ALTER SERVER third RENAME TO fourth; DROP SERVER fourth CASCADE');
	query($node, 'CALL canopy_summit.run_tasks()');
	is(rows('third'), '', 'of one that is gone, they get the last name');
	return;
}

# Renamed twice while all pulls are fetched by job, and workers die in the middle of what follows.
sub killed
{
	my $count = scaled(1000);
	$node = new_worker_node(
		name => 'workers',
		conf => "restart_after_crash = on\ncanopy_summit.workers = 2\nmax_connections = 40\n");
	create_canopy_server($node, $sandbox);
	query($node, definitions());
	my @pulls = map { "pull-$_" } 1 .. $count;
	my $list = "'{" . join(',', @pulls) . "}'::text[]";
	query($node, "SELECT count(canopy_store_pull(many_pulls(id, 1))) FROM unnest($list) AS id");
	$sandbox->put_pull($_, JSON::PP->new->decode(query($node, "SELECT many_pulls('$_', 2)"))) for @pulls;

	query($node, "INSERT INTO gate VALUES ('" . $pulls[ rand @pulls ] . "')");
	query($node, q{SELECT canopy_summit.rename_server('canopy', 'first')});
	my $struck = 0;
	query($node, "SET canopy_summit.canopy_server = 'first'; SELECT canopy_enqueue_fetch(VARIADIC $list)");
	for my $number (1 .. 3)
	{
		my ($pid) = wait_until('a worker is in the middle of it', sub { query($node, <<~'SQL') });
			SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'canopy_summit worker' AND wait_event = 'PgSleep'
			SQL
		$struck += kill KILL => $pid;
		wait_until('the server is back', sub { !is_alive($pid) && ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
	}
	query($node, 'DELETE FROM gate');
	query($node, q{SELECT canopy_summit.rename_server('first', 'second')});
	all_settled($node);
	my $open = q{SELECT count(*) FROM canopy_summit.progress WHERE state NOT IN ('done', 'failed')};
	wait_until('the tasks have ended', sub { query($node, $open) == 0 }, 300);
	is( query($node, 'SELECT DISTINCT state FROM canopy_summit.task'), 'done',
		"after $struck kills, the tasks are done");
	is(jobs_by_state($node), "succeeded $count", 'all pulls were fetched');
	is( query($node, 'SELECT server, version, count(*) FROM canopy_summit.pull_state GROUP BY 1, 2'),
		"second|2|$count", 'each has its next version, once');
	is( query($node, 'SELECT server, count(*) FROM canopy_summit.pull_version GROUP BY 1'),
		'second|' . 2 * $count, 'and the one before');
	is(rows('canopy', 'first'), '', 'no row has an old name');
	is(query($node, 'SELECT * FROM wrong_choice'), '', 'views show the right pull of each account');
	is(query($node, 'SELECT count(*) FROM canopy_summit.policy'), $count, 'and its rows, once');
	return;
}

# Stores a state of a pull; "version|changed".
sub stored
{
	my ($id, $state, $account, $server) = @_;
	my $sql = sprintf "SELECT version, changed FROM canopy_store_pull(a_pull('%s', %d, %s), '%s')", $id, $state,
	  defined $account ? "'$account'" : 'NULL', $server // 'other';
	return query($node, $sql);
}

# Tables of the extension whose rows name their server and do not know its OID.
sub named_tables
{
	return map { split / / } split /\n/, query($node, <<~'SQL');
		SELECT c.relname || ' ' || c.oid::regclass FROM pg_class c
			JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
			JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'canopy_summit'
			JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relkind = 'r' AND a.attname IN ('server', 'server_oid') GROUP BY c.oid
		HAVING array_agg(a.attname) = '{server}' ORDER BY 1
		SQL
}

# "table rows" of each table that has some of these servers.
sub rows
{
	my $servers = join ', ', map { "'$_'" } @_;
	my $sql = join ' UNION ALL ',
	  map { "SELECT '$_' AS t, count(*) FROM $tables{$_} WHERE server IN ($servers)" } sort keys %tables;
	return query($node, "SELECT t || ' ' || count FROM ($sql) AS r WHERE count > 0 ORDER BY t COLLATE \"C\"");
}

sub without_versions { return rows(@_) =~ s/^pull_version .*\n//mr }

# How much there is for a rename: pulls, and keys of what else there is.
sub keys_of
{
	my ($server) = @_;
	my $pulls = join ' UNION ',
	  (map { "SELECT pull_id FROM canopy_summit.$_ WHERE server = '$server'" }
		  qw(pull_state pull_progress auth_status reconnect)),
	  "SELECT owner_id FROM canopy_summit.document_file WHERE server = '$server'";
	my %of = (
		(map { ($_ => 'monitoring_id') } qw(monitoring monitoring_event)),
		(map { ($_ => 'servicing_action_id') } qw(servicing_action servicing_answer)),
		document_validation => 'document_validation_id', enrichment => 'job_id',
		(map { ($_ => 'webhook_id') } qw(servicing_status data_update)),
		status_event => 'status_event_id', certificate => 'policy_status_id', certificate_fact => 'fact_id',
		property => 'property_id', property_reference => 'reference_id', import_problem => 'problem_id',
		(map { ($_ => 'system') } qw(export_system export_column export_feed)), export_line => 'row_key',
		requirement_set => 'name', requirement => 'requirement_id', waiver => 'waiver_id',
		gate_event => 'gate_event_id', disclosure => 'disclosure_id', notice => 'notice_id');
	my $sql = join ' + ', "(SELECT count(*) FROM ($pulls) AS p)",
	  map { "(SELECT count(DISTINCT $of{$_}) FROM $tables{$_} WHERE server = '$server')" } sort keys %of;
	return query($node, "SELECT $sql");
}

# A digest of what each view shows of a server, but for its name.
sub views
{
	my ($server) = @_;
	my @views = split /\n/, query($node, <<~'SQL');
		SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'server'
		WHERE c.relkind = 'v' AND c.relnamespace IN ('canopy'::regnamespace, 'summit'::regnamespace) ORDER BY 1
		SQL
	return query($node, join ' UNION ALL ', map { <<~"SQL" } @views);
		SELECT '$_ ' || count(*) || ' ' || coalesce(md5(string_agg(r, ' ' ORDER BY r COLLATE "C")), '')
		FROM (SELECT (to_jsonb(v) - '{server,token_age,statement}'::text[])::text FROM $_ v
			WHERE v.server = '$server') AS v(r)
		SQL
}

# What is there under more than one name.
sub twins
{
	my %of = (
		(map { ($_ => 'pull_id') } qw(pull_state pull_version pull policy pull_progress auth_status reconnect)),
		account => 'account_identifier', document_file => "(owner_id || file_id)", monitoring => 'monitoring_id',
		monitoring_event => '(monitoring_id || pull_id || type)',
		servicing_action => 'servicing_action_id', servicing_answer => '(servicing_action_id || status)',
		enrichment => 'job_id', document_validation => 'document_validation_id',
		policy_status => 'policy_number');
	return join ' UNION ALL ',
	  map { "SELECT '$_ ' || $of{$_} FROM canopy_summit.$_ GROUP BY $of{$_} HAVING count(DISTINCT server) > 1" }
	  sort keys %of;
}

sub receive
{
	my ($server, $event, $pull) = @_;
	query(
		$node,
		"SELECT receive_webhook('$server', signed(b), b) FROM a_body('$event', '"
		  . ($pull // 'told')
		  . "') AS b; SELECT canopy_summit.apply_webhooks()");
	return;
}

sub policy_event
{
	my ($server, $status) = @_;
	query(
		$node,
		"SELECT receive_webhook('$server', signed(b, 'summit'), b) FROM a_policy('$status') AS b;
		SELECT canopy_summit.apply_webhooks()"
	);
	return;
}

# Something in every table.
sub fill
{
	query($node, <<~'SQL');
		CREATE SERVER empty FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox');
		CREATE SERVER summit FOREIGN DATA WRAPPER summit_api
			OPTIONS (environment 'sandbox', base_url 'https://127.0.0.1:9', auth_url 'https://127.0.0.1:9');
		CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (webhook_secret 'w');
		CREATE ROLE anybody;
		CREATE ROLE operates;
		SELECT canopy_summit.grant_access('operates', 'operator');
		GRANT ALL ON FOREIGN DATA WRAPPER canopy_api, summit_api TO operates;
		SELECT canopy_store_pull(a_pull(id, 1)) FROM unnest('{lone,first,second,third,near,moves}'::text[]) AS id;
		SQL
	query($node, "SELECT canopy_fetch_pull('$pull_id', true)");
	query(
		$node,
		"CREATE VIEW a_document AS SELECT min(document_id) AS document_id FROM canopy.document_all
		WHERE pull_id = '$pull_id'"
	);
	query($node, "SELECT canopy_fetch_document('$pull_id', document_id) FROM a_document");
	receive('canopy', $_)
	  for
	  qw(AUTH_STATUS MONITORING_RECONNECT MONITORING_EVENTS SERVICING_STATUS_UPDATED DATA_UPDATED VALIDATION_COMPLETE);
	policy_event('summit', 'submitted');
	# What no pull of these has.
	query($node, "SELECT fill('$tables{$_}')") for sort keys %tables;
	query($node, 'TRUNCATE canopy_summit.job, canopy_summit.job_attempt, canopy_summit.job_response');
	return;
}

sub definitions
{
	return <<~'SQL';
		-- Accounts are those of the name, or the one that is given.
		CREATE FUNCTION a_pull(id text, state int, account text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
			SELECT jsonb_build_object('pull_id', id, 'status', 'SUCCESS', 'account_identifier', coalesce(account, CASE
					WHEN id IN ('first', 'second', 'third') THEN 'account'
					WHEN id = 'near' THEN 'far' WHEN id = 'moves' THEN 'left' END),
				'created_at', '2026-01-01Z'::timestamptz + (hashtext(id || state) % 1000) * interval '1 minute',
				'policies', jsonb_build_array(jsonb_build_object('policy_id', id || state)))
		$$;
		CREATE FUNCTION many_pulls(id text, state int) RETURNS jsonb LANGUAGE sql AS $$
			SELECT a_pull(id, state, CASE WHEN hashtext(id) % 5 <> 0 THEN 'account ' || hashtext(id) % 40 END)
		$$;
		CREATE FUNCTION a_body(event text, pull_id text) RETURNS bytea LANGUAGE sql AS $$
			SELECT convert_to(jsonb_build_object('event_type', event, 'pull_id', pull_id,
				'monitoring', '{"monitoring_id": "m"}'::jsonb, 'data', '{"servicing_action_id": "a",
					"document_validation_id": "d", "type": "RENEWAL",
					"updates": [{"type": "x"}]}'::jsonb)::text, 'UTF8')
		$$;
		CREATE FUNCTION a_policy(status text) RETURNS bytea LANGUAGE sql AS $$
			SELECT convert_to(format('{"delivery_id": "%1$s", "event": "policy.%1$s",
				"occurred_at": "2026-01-02T03:04:05Z",
				"data": {"policy": {"policy_number": "P"}}}', status), 'UTF8')
		$$;
		CREATE FUNCTION signed(body bytea, provider text DEFAULT 'canopy') RETURNS jsonb LANGUAGE sql AS $$
			SELECT jsonb_build_object(CASE provider WHEN 'canopy' THEN 'canopy-signature' ELSE 'x-summit-signature' END,
				sign_webhook('w', body, provider))
		$$;
		-- A row of a table that is empty, with what it must have.
		CREATE FUNCTION fill(named regclass) RETURNS void LANGUAGE plpgsql AS $$
		DECLARE
			names text;
			vals text;
			filled boolean;
		BEGIN
			EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE server <> %L)', named, '') INTO filled;
			IF NOT filled THEN
				SELECT string_agg(quote_ident(a.attname), ', '), string_agg(CASE
						WHEN a.attname = 'server' THEN $q$'canopy'$q$ WHEN a.attname = 'pull_id' THEN $q$'lone'$q$
						WHEN a.attname = 'time_zone' THEN $q$'UTC'$q$
						WHEN t.typcategory = 'N' THEN '1' WHEN t.typname = 'xid8' THEN $q$'1'$q$
						WHEN t.typcategory = 'B' THEN 'true'
						WHEN t.typcategory = 'D' THEN 'now()'
						WHEN t.typname = 'bytea' THEN $q$'x'$q$ ELSE $q$'{}'$q$ END, ', ')
				INTO names, vals FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
				WHERE a.attrelid = named AND a.attnum > 0 AND a.attnotnull
					AND (NOT a.atthasdef OR a.attname = 'server');
				EXECUTE format('INSERT INTO %s (%s) VALUES (%s)', named, names, vals);
			END IF;
		END
		$$;
		-- Who gives a pull's rows another name stays in it while the pull is here, which outlives the server.
		CREATE TABLE gate (pull_id text);
		CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			WHILE EXISTS (SELECT FROM public.gate g WHERE g.pull_id = NEW.pull_id) LOOP
				PERFORM pg_catalog.pg_sleep(0.01);
			END LOOP;
			RETURN NULL;
		END
		$$;
		CREATE TRIGGER gate AFTER UPDATE OF server ON canopy_summit.policy FOR EACH ROW EXECUTE FUNCTION gate();

		CREATE VIEW wrong_choice AS
		SELECT s.pull_id FROM canopy_summit.pull_state s
		WHERE s.is_current <> (s.is_data AND (s.account_identifier IS NULL OR s.pull_id = (
			SELECT n.pull_id FROM canopy_summit.pull_state n
			WHERE n.account_identifier = s.account_identifier AND n.is_data
			ORDER BY n.created_at DESC NULLS LAST, n.pull_id COLLATE "C" DESC LIMIT 1)));
		SQL
}
