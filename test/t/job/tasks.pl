# Who may start, do and wait for tasks, and what becomes of them without workers, in a copy, and when something fails?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

# No workers: the tasks of this server are done by CALL.
my $node = new_node();
my $hint = 'It commits after each batch: CALL it on its own.';

query($node, <<~'SQL');
	CREATE EXTENSION canopy_summit;
	CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
	CREATE ROLE somebody;
	CREATE ROLE operates;
	CREATE ROLE administers;
	SELECT canopy_summit.grant_access('operates', 'operator'), canopy_summit.grant_access('administers', 'admin');
	SELECT count(canopy_store_pull(jsonb_build_object('pull_id', 'p' || n, 'status', 'SUCCESS')))
	FROM generate_series(1, 50) n;
	SQL

subtest 'refused' => \&refused;
subtest 'without workers' => \&called;
subtest 'waiting' => \&waiting;
subtest 'levels' => \&levels;
subtest 'of another instance' => \&unarmed;
subtest 'retention' => \&retention;
done_testing();

sub refused
{
	is_deeply(
		[ (sqlstate_of($node, 'BEGIN; CALL canopy_summit.run_tasks()'))[ 0, 3 ] ], [ '25001', $hint ],
		'run_tasks() inside a transaction block');
	is( scalar sqlstate_of(
			$node,
			'DO $$ BEGIN CALL canopy_summit.run_tasks(); END $$; SELECT 1; '
			  . 'BEGIN; DO $$ BEGIN CALL canopy_summit.run_tasks(); END $$'),
		'25001',
		'nor in a function of one');
	is(scalar sqlstate_of($node, 'SELECT canopy_summit.wait_for_task(1000)'), 'P0002', 'a task that is not there');
	my ($sqlstate, $message, undef, $advice) = sqlstate_of($node, <<~'SQL');
		SET client_min_messages = warning; BEGIN; SELECT canopy_summit.wait_for_task(canopy_remap())
		SQL
	is($sqlstate, '55000', 'a task of one\'s own transaction');
	like($message, qr/was made by this transaction and is done after its end/, 'the message says why');
	is($advice, 'COMMIT before you wait for it.', 'and the hint what to do');
	is(query($node, 'SELECT canopy_summit.retry_task(1000)'), 'f', 'nothing to try again');
	is(scalar sqlstate_of($node, 'BEGIN READ ONLY; CALL canopy_summit.run_tasks()'), '25001', 'in a read-only one');
	is(query($node, 'SELECT count(*) FROM canopy_summit.task'), 0, 'no task is left of that');
	return;
}

sub called
{
	my (undef, $task, $notice) = $node->psql('postgres', 'SELECT canopy_remap()');
	like(
		$notice, qr/no worker will do this task\nHINT:  After COMMIT, CALL canopy_summit\.run_tasks\(\);/,
		'who does it');
	is(query($node, 'SELECT canopy_remap()'), $task, 'one that waits is not started twice');
	is( query($node, 'SELECT what, state, done, total, rate, eta, started_by FROM canopy_summit.progress'),
		'remap|waiting|0||||postgres', 'it waits');
	query($node, 'CALL canopy_summit.run_tasks()');
	is(query($node, <<~'SQL'), 'remap|done|50|50|t|t|', 'it is done');
		SELECT what, state, done, total, rate > 0, finished_at >= began_at, eta FROM canopy_summit.progress
		SQL
	cmp_ok(query($node, 'SELECT canopy_remap()'), '>', $task, 'the next is another');
	$node->safe_psql('postgres', "SET default_transaction_isolation = 'serializable'; CALL canopy_summit.run_tasks()");
	is( query($node, q{SELECT count(*) FROM canopy_summit.progress WHERE state = 'done'}), 2,
		'done at whichever isolation');
	return;
}

# Notices tell how far it is, and the state at the end of the time comes back.
sub waiting
{
	my $task = query($node, 'SELECT canopy_remap()');
	is(query($node, "SELECT canopy_summit.wait_for_task($task, '0')"), 'waiting', 'its state after so long');
	my (undef, $state, $notices) = $node->psql('postgres', "SELECT canopy_summit.wait_for_task($task, '1.5 s')");
	is($state, 'waiting', 'nobody does it');
	like($notices, qr/^psql:\S+ NOTICE:  remap $task: waiting$/m, 'a notice says how far it is');
	my $session = open_session($node);
	$session->query_until(qr/started/, "\\echo started\nSELECT canopy_summit.wait_for_task($task);\n");
	query($node, 'CALL canopy_summit.run_tasks()');
	like($session->query('SELECT 1'), qr/done/, 'whoever waits is told the end');
	$session->quit;
	return;
}

sub levels
{
	my $as = sub { my ($role, $sql) = @_; return scalar(sqlstate_of($node, "SET ROLE $role; $sql")) // 'works' };
	for my $sql (
		'CALL canopy_summit.run_tasks()',
		'SELECT max(canopy_summit.wait_for_task(task_id)) FROM canopy_summit.progress',
		'SELECT canopy_summit.retry_task(1)', 'SELECT * FROM canopy_summit.progress')
	{
		is($as->(somebody => $sql), '42501', "nobody may: $sql");
		is($as->(operates => $sql), 'works', "an operator may: $sql");
	}
	is($as->(operates => 'SELECT canopy_remap()'), '42501', 'an operator does not remap');
	is($as->(administers => 'SELECT canopy_remap()'), 'works', 'an admin does');
	is( query($node, 'SELECT started_by FROM canopy_summit.progress ORDER BY task_id DESC LIMIT 1'), 'administers',
		'who is named');
	is($as->(operates => 'SELECT * FROM canopy_summit.task'), '42501', 'tables are nobody\'s');
	is($as->(operates => 'CALL canopy_summit.run_tasks()'), 'works', 'an operator does what an admin has started');
	is( query($node, q{SELECT count(*) FROM canopy_summit.progress WHERE state <> 'done'}), 0,
		'with the owner\'s rights');
	return;
}

# As in a restored dump: the OIDs of another catalog, and twins of what waits here.
sub unarmed
{
	my $open = q{SELECT count(*) FROM canopy_summit.progress WHERE state IN ('waiting', 'running')};
	query($node, <<~'SQL');
		SELECT canopy_remap(), canopy_summit.wake();
		UPDATE canopy_summit.task SET instance = 3, started_by_oid = 4 WHERE state = 'waiting';
		SELECT canopy_remap();
		CALL canopy_summit.run_tasks();
		SQL
	is(query($node, $open), 1, 'that of another instance is left');
	like(
		query($node, q{SELECT problem FROM canopy_summit.progress WHERE state = 'waiting'}),
		qr/canopy_summit\.arm\(\) adopts it/, 'it says why');
	query($node, 'SELECT canopy_remap(), canopy_summit.arm()');
	is(query($node, $open), 2, 'it is adopted beside one that waits here');
	query($node, 'CALL canopy_summit.run_tasks()');
	is(query($node, $open), 0, 'and done');
	return;
}

# There while there is something to do, in more than one batch, also where nothing of the first one goes.
sub retention
{
	my $rows = q{SELECT count(*) FROM canopy_summit.job};
	my $tasks = q{SELECT count(*) FROM canopy_summit.progress WHERE what = 'retention'};

	query($node, <<~'SQL');
		INSERT INTO canopy_summit.job (job_id, server, operation, params, priority, run_at, max_attempts, owner, state,
			instance, fence, attempts, enqueued_at, finished_at)
		SELECT nextval('canopy_summit.job_id_seq'), 'canopy', 'get-carriers', '{}', 5, now(), 1, 'postgres', 'failed',
			canopy_summit.instance(), 1, 1, now(), CASE WHEN n <= 5500 THEN now() ELSE now() - interval '2 days' END
		FROM generate_series(1, 7000) n;
		UPDATE canopy_summit.task SET finished_at = now() - interval '2 days' WHERE task_id = (
			SELECT min(task_id) FROM canopy_summit.task);
		SQL
	my $finished = query($node, 'SELECT count(*) FROM canopy_summit.progress');
	is(query($node, 'SELECT canopy_summit.apply_retention() IS NULL'), 't', 'without a rule there is nothing to do');
	query(
		$node,
		q{INSERT INTO canopy_summit.retention_rule VALUES ('job', '1 day'), ('webhook', '1 day'), ('task', '1 day')});
	my $task = query($node, 'SET ROLE operates; SELECT canopy_summit.apply_retention()');
	is(query($node, 'SELECT canopy_summit.apply_retention() IS NULL'), 't', 'it is not started twice');
	is( query($node, "SELECT what, state, started_by FROM canopy_summit.progress WHERE task_id = $task"),
		'retention|waiting|operates', 'it is there while there is something to do');
	query($node, 'CALL canopy_summit.run_tasks()');
	is(query($node, $rows), 5500, 'what is old is gone, whatever came before it');
	is(query($node, $tasks), 0, 'and so is the task');
	is(query($node, 'SELECT count(*) FROM canopy_summit.progress'), $finished - 1, 'and an old one that was done');
	is(query($node, 'SELECT canopy_summit.apply_retention() IS NULL'), 't', 'then there is nothing to do');
	is( scalar sqlstate_of($node, 'SET ROLE somebody; SELECT canopy_summit.apply_retention()'), '42501',
		'nobody else may ask for it');
	return;
}
