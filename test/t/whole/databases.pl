# Do statements on whole databases, and the extension coming and going, work while jobs wait or are in flight?
use strict;
use warnings;

use CanopyJobs;
use CanopyMoment;
use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = test_seed();
my $sandbox = start_sandbox();
my $space = PostgreSQL::Test::Utils::tempdir('space');
my $node = new_worker_node(conf => "allow_in_place_tablespaces = on\ncanopy_summit.worker_idle_timeout = 2s\n");
my $pull_id = $sandbox->pull_id('user_good');
my $count = scaled(100);
my ($slowest, $return) = (0, 0);

query($node, "CREATE TABLESPACE other LOCATION ''");
make_database('app');
my $fault = $sandbox->hold(match => { path => '/widgets' });

for my $number (1 .. $count)
{
	work('app');
	timed('CREATE DATABASE TEMPLATE', "CREATE DATABASE copy_$number TEMPLATE app");
	works('app', 'CREATE DATABASE TEMPLATE');
	work('app');
	timed('RENAME', 'ALTER DATABASE app RENAME TO moved');
	works('moved', 'RENAME');
	work('moved');
	timed('SET TABLESPACE', 'ALTER DATABASE moved SET TABLESPACE ' . ($number % 2 ? 'other' : 'pg_default'));
	works('moved', 'SET TABLESPACE');
	query($node, 'ALTER DATABASE moved RENAME TO app');
	work('app');
	timed('DROP EXTENSION', 'DROP EXTENSION canopy_summit CASCADE', 'app');
	extend('app');
	works('app', 'DROP EXTENSION and CREATE EXTENSION');
	work('app');
	timed('DROP DATABASE', $number % 2 ? 'DROP DATABASE app' : 'DROP DATABASE app WITH (FORCE)');
	if ($number % 2)
	{
		timed('DROP DATABASE of a copy', "DROP DATABASE copy_$number");
		make_database('app');
	}
	else
	{
		timed('RENAME of a copy', "ALTER DATABASE copy_$number RENAME TO app");
	}
	works('app', $number % 2 ? 'DROP DATABASE' : 'DROP DATABASE WITH (FORCE)');
}
cmp_ok($slowest, '<', SOON, sprintf 'no statement had to wait; the slowest took %.1f s', $slowest);
cmp_ok($return, '<', SOON, sprintf 'the worker was always soon back; the slowest after %.1f s', $return);
is(query($node, 'SELECT count(*) FROM pg_database WHERE datconnlimit = -2'), 0, 'no half-dropped database is left');
my $log = slurp_file($node->logfile);
unlike($log, qr/terminated by signal|PANIC/, 'nothing has crashed');
one_place();
drop_waits();
done_testing();

# One worker for two databases: an answer that waits for a lock in one does not keep the other from working.
sub one_place
{
	my $narrow =
	  new_worker_node(name => 'narrow', conf => "max_worker_processes = 2\nmax_logical_replication_workers = 0\n");
	my $fetched = sub {
		return grep { $_->{path} =~ m{/pulls/$pull_id} } requests($sandbox, 'pulls', 'path');
	};
	$sandbox->clear;
	create_canopy_server($narrow, $sandbox);
	query($narrow, 'CREATE DATABASE other');
	create_canopy_server($narrow, $sandbox, database => 'other');
	my $session = open_session($narrow);
	$session->query_safe(qq{BEGIN; SELECT canopy_store_pull('{"pull_id": "$pull_id"}')});
	$sandbox->clear_log;
	my $waits = query($narrow, "SELECT canopy_enqueue_fetch('$pull_id')");
	wait_until('its answer is there', $fetched);
	is( settled($narrow, enqueue($narrow, 'get-carriers', {}, undef, undef, 'other'), 60, 'other'), 'succeeded',
		'a job of the other database is sent');
	is( query($narrow, "SELECT outcome_code FROM canopy_summit.job WHERE job_id = $waits"), 'locked',
		'the answer that waited is given up, for what may be asked again');
	$session->query_safe('ROLLBACK');
	$session->quit;
	is(settled($narrow, $waits), 'succeeded', 'and asked for again');
	is(job($narrow, $waits)->{attempts}, 1, 'at no cost of attempts');
	return;
}

# DROP EXTENSION waits for what a worker is at before it locks any table, in whatever order: no deadlock can come of it.
sub drop_waits
{
	my $widget = q{SELECT canopy_enqueue('post-widgets', '{}', '{"intro_title": "a"}') FROM generate_series(1, %d)};
	$sandbox->clear;
	extend('postgres');
	create_gates($node);
	my $worker = worker_at(
		settling => (
			node => $node, sandbox => $sandbox, match => { path => '/widgets' },
			enqueue => sub { query($node, sprintf $widget, @_) }));
	my $session = open_session($node);
	my $pid = $session->query('SELECT pg_backend_pid()');
	$session->query_until(
		qr/started/,
		"\\echo started\nDROP EXTENSION canopy_summit CASCADE;\nSELECT 'has dropped it';\n");
	wait_until(
		'DROP EXTENSION waits for the worker',
		sub { query($node, "SELECT $worker->{pid} = ANY (pg_blocking_pids($pid))") eq 't' });
	is(query($node, <<~"SQL"), '0|1', 'and has locked none of its tables meanwhile');
		SELECT count(*) FILTER (WHERE l.relation::regclass::text ~ '^(canopy|summit)'),
			count(*) FILTER (WHERE l.classid = 'pg_extension'::regclass AND NOT l.granted)
		FROM pg_locks l WHERE l.pid = $pid
		SQL
	leave_moment($worker);
	$session->query_until(qr/has dropped it/, '');
	$session->quit;
	return;
}

sub make_database
{
	my ($name) = @_;
	query($node, "CREATE DATABASE $name");
	extend($name);
	return;
}

sub extend
{
	my ($name) = @_;
	create_canopy_server($node, $sandbox, database => $name);
	return;
}

# Has the worker wait for an answer that does not come, claim or settle, or wait for a job that is due later.
sub work
{
	my ($database) = @_;
	my $hits = sub {
		return (map { $_->{hits} } grep { $_->{number} == $fault } $sandbox->faults)[0];
	};
	my $before = $hits->();
	my $later = qq{'get-pull-by-id', '{"pullId": "$pull_id"}', run_at => now() + interval '1 day'};
	my $stays = rand() < 0.7;
	my $now = $stays ? q{'post-widgets', '{}', '{"intro_title": "a"}'} : qq{'get-pull-by-id', '{"pullId": "$pull_id"}'};
	query($node, "SELECT canopy_enqueue($later), canopy_enqueue($now)", $database);
	wait_until('a worker is there', sub { worker_pids($node, $database) });
	wait_until('it waits for an answer', sub { $hits->() > $before }) if $stays && rand() < 0.7;
	return;
}

sub timed
{
	my ($what, $sql, $database) = @_;
	my $start = time;
	my @error = sqlstate_of($node, $sql, database => $database // 'postgres');
	my $seconds = time - $start;

	is("@error", '', sprintf '%s succeeds (%.2f s)', $what, $seconds);
	$slowest = $seconds if $seconds > $slowest;
	return;
}

sub works
{
	my ($database, $after) = @_;
	my $start = time;
	my $job_id = query($node, qq{SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "$pull_id"}')}, $database);

	is(settled($node, $job_id, 30, $database), 'succeeded', "after $after the worker works");
	$return = time - $start if time - $start > $return;
	return;
}
