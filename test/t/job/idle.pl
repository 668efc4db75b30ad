# Does a queue without work cost nothing: no queries, no WAL, and after a while no connection?
use strict;
use warnings;

use CanopyJobs;
use CanopyProcess;
use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $sandbox = start_sandbox();
# Checkpoints and autovacuum would write, and so would the background writer for standbys.
my $node = new_worker_node(conf => <<~'END');
	canopy_summit.worker_idle_timeout = 1h
	autovacuum = off
	checkpoint_timeout = 1d
	wal_level = minimal
	max_wal_senders = 0
	END
my $seconds = scaled(150);
my $scans = int($seconds / 60) + 1; # which the worker makes in that time, each with seven chores

create_canopy_server($node, $sandbox);
is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'a worker works');
enqueue($node, 'get-carriers', {}, undef, q{run_at => now() + interval '1 day'});
my $idle = <<~'SQL';
	SELECT pid FROM pg_stat_activity
	WHERE backend_type = 'canopy_summit worker' AND state = 'idle' AND wait_event_type = 'Extension'
	SQL
my $pid = wait_until('it is idle', sub { query($node, $idle) });
wait_until(
	'what it has done is counted',
	sub {
		my $before = measure()->{transactions};
		sleep 0.5;
		return measure()->{transactions} == $before;
	});
quiet('connected', "a worker that is connected and idle for $seconds s");
ok(is_alive($pid), 'it is still the same one');
like(
	query($node, "SELECT application_name FROM pg_stat_activity WHERE pid = $pid"), qr/canopy_summit worker/,
	'and names itself');

query($node, q{ALTER SYSTEM SET canopy_summit.worker_idle_timeout = '500ms'; SELECT pg_reload_conf()});
wait_until('the worker disconnects', sub { !worker_pids($node) });
quiet('disconnected', 'no worker at all');
is(settled($node, enqueue($node, 'get-carriers'), 10), 'succeeded', 'the next job brings one');
my $due = enqueue($node, 'get-carriers', {}, undef, q{run_at => now() + interval '4 s'});
wait_until('the worker disconnects', sub { !worker_pids($node) });
is(settled($node, $due, 15), 'succeeded', 'so does one that becomes due');
server_that_comes();
more_workers();
fewer_workers();
done_testing();

# A server is made while the worker looks which ones there are: it looks again before it leaves for want of work.
sub server_that_comes
{
	wait_until('the worker disconnects', sub { !worker_pids($node) });
	my $session = open_session($node);
	$session->query_safe('BEGIN; LOCK TABLE canopy_summit.server_hold IN ACCESS EXCLUSIVE MODE');
	query($node, 'SELECT canopy_summit.wake()');
	wait_until('a worker has seen the servers, and waits to see their holds', sub { query($node, <<~'SQL') });
		SELECT pid FROM pg_locks WHERE relation = 'canopy_summit.server_hold'::regclass AND NOT granted
		SQL
	create_canopy_server($node, $sandbox, server => 'late');
	my $job_id = enqueue($node, 'get-carriers', {}, undef, q{server => 'late'});
	$session->query_safe('ROLLBACK');
	$session->quit;
	is(settled($node, $job_id), 'succeeded', 'a job of a server that was made meanwhile is sent');
	return;
}

# While one works, the setting is raised: another comes at once, with its share of what the first has left.
sub more_workers
{
	my $fault = $sandbox->hold(match => { path => 'carriers' });
	enqueue($node, 'get-carriers') for 1 .. 24;
	wait_until('one has all connections of a server', sub { $sandbox->waiting($fault) == 16 });
	query($node, 'ALTER SYSTEM SET canopy_summit.workers = 2');
	$node->reload;
	soon_ok('a second one comes', sub { worker_pids($node) == 2 });
	soon_ok('… and sends', sub { $sandbox->waiting($fault) == 24 });
	$sandbox->clear($fault);
	all_settled($node, 'run_at <= now()');
	query($node, 'ALTER SYSTEM RESET canopy_summit.workers');
	$node->reload;
	return;
}

# Of two workers the first has left when one is all there may be: the other has all connections then, and sends.
sub fewer_workers
{
	wait_until('the worker disconnects', sub { !worker_pids($node) });
	query($node, <<~'SQL');
		ALTER SYSTEM SET canopy_summit.workers = 2;
		ALTER SYSTEM SET canopy_summit.max_in_flight = 1;
		SELECT pg_reload_conf()
		SQL
	# Of its only connection the first worker has all.
	create_canopy_server($node, $sandbox, server => 'narrow', options => { max_connections => 1 });
	my %held = map { $_ => $sandbox->hold(match => { path => "/pulls/$_" }, times => 1) } qw(first second);
	enqueue($node, 'get-pull-by-id', { pullId => 'first' }, undef, q{server => 'narrow'});
	wait_until('the first has something to do', sub { $sandbox->waiting($held{first}) });
	enqueue($node, 'get-pull-by-id', { pullId => 'second' }, undef, q{server => 'canopy'});
	wait_until('the second, too', sub { $sandbox->waiting($held{second}) });
	$sandbox->clear($held{first});
	wait_until('the first disconnects', sub { worker_pids($node) == 1 });
	query($node, <<~'SQL');
		ALTER SYSTEM RESET canopy_summit.workers;
		ALTER SYSTEM RESET canopy_summit.max_in_flight;
		ALTER SYSTEM SET canopy_summit.worker_idle_timeout = '1h';
		SELECT pg_reload_conf()
		SQL
	$sandbox->clear($held{second});
	is( settled($node, enqueue($node, 'get-carriers', {}, undef, q{server => 'canopy'}), 30), 'succeeded',
		'the second of two workers sends when it is the only one');
	return;
}

# Transactions but our own, WAL and processor time, over a while in which nobody does anything.
sub quiet
{
	my ($what, $who) = @_;
	my @pids = ($pid, query($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'canopy_summit launcher'}));
	# What is dead in the catalogs would be tidied up by whoever reads them next.
	query($node, 'VACUUM');
	# What this session has waited for would be counted when it has been idle for 10 s.
	query($node, 'SELECT pg_stat_force_next_flush()');
	measure() for 1 .. 3;
	my ($before, @before) = (measure(), map { ticks($_) } @pids);
	sleep $seconds;
	my ($after, @after) = (measure(), map { ticks($_) } @pids);

	cmp_ok(
		$after->{transactions} - $before->{transactions}, '<=', $what eq 'connected' ? 8 * $scans : 0,
		"$what: no transaction but a scan a minute, and its chores");
	is($after->{wal} - $before->{wal}, 0, "$what: no WAL");
	cmp_ok($after[$_] - $before[$_], '<=', 2 + $scans, "$what: no processor time") for 0 .. $#pids;
	return;
}

# From another database, so that what asks is not counted.
sub measure
{
	my %now;
	@now{qw(transactions wal)} = split /\|/, query($node, <<~'SQL', 'template1');
		SELECT xact_commit + xact_rollback, pg_current_wal_insert_lsn() - '0/0' FROM pg_stat_database
		WHERE datname = 'postgres'
		SQL
	return \%now;
}

sub ticks
{
	my ($process) = @_;
	my $file = "/proc/$process/stat";
	return 0 unless -e $file;
	my @fields = split ' ', slurp_file($file) =~ s/^.*\) //r;
	return $fields[11] + $fields[12];
}
