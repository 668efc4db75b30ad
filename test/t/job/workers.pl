# Do several workers of one database share its work, its limits and its order, and does one outlive another?
use strict;
use warnings;

use CanopyJobs;
use CanopyMoment;
use CanopyTest;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = test_seed();
my $sandbox = start_sandbox();
# With such a margin a worker that nobody wakes looks after a minute, and not before.
my $node = new_worker_node(conf => <<~'END');
	canopy_summit.lease_margin = 10min
	max_connections = 60
	restart_after_crash = on
	canopy_summit.workers = 2
	canopy_summit.worker_idle_timeout = 5min
	END
my $template = $sandbox->pull($sandbox->pull_id('user_good_home'));
my $servers = 0;

create_canopy_server($node, $sandbox);
for my $count (2, 3)
{
	set_workers($count);
	subtest "$count workers: all come" => sub { all_come($count) };
	subtest "$count workers: limits" => sub { limits($count) };
	subtest "$count workers: ordering keys" => sub { ordering($count) };
}
set_workers(2);
subtest 'one is stopped' => \&stopped;
subtest 'one is ended' => sub { killed('TERM') };
subtest 'one is killed' => sub { killed('KILL') };
done_testing();

# As after a change of the setting, with no worker connected.
sub set_workers
{
	my ($count) = @_;
	query($node, "ALTER SYSTEM SET canopy_summit.workers = $count");
	$node->restart;
	wait_until('a probe has found nothing', sub { !worker_pids($node) });
	return;
}

# A server of its own for each case, and a pull to fetch from it.
sub new_server
{
	my (%options) = @_;
	my $server = 'several' . ++$servers;
	create_canopy_server($node, $sandbox, server => $server, options => { max_connections => 8, %options });
	$sandbox->put_pull($server, { %$template, pull_id => $server });
	return $server;
}

# Has the answers of a server's requests wait until they are cleared; the fault's number.
sub hold_answers
{
	my ($server) = @_;
	$sandbox->clear;
	return $sandbox->hold(match => { path => "(/pulls/$server|/widgets)" });
}

# One statement that enqueues fetches, and as many widgets if asked for.
sub enqueue_many
{
	my ($server, $count, $widgets) = @_;
	query($node, <<~"SQL");
		INSERT INTO canopy_summit.job (server, operation, params, body)
		SELECT '$server', 'get-pull-by-id', '{"pullId": "$server"}'::jsonb, NULL::jsonb FROM generate_series(1, $count)
		UNION ALL SELECT '$server', 'post-widgets', '{}'::jsonb, jsonb_build_object('intro_title', '$server ' || n)
		FROM generate_series(1, $widgets) n
		SQL
	return;
}

# Tests that each of so many workers soon has requests on the wire, which stay there.
sub all_take_part
{
	my ($count, $what) = @_;
	soon_ok("$what: all take part", sub { query($node, <<~'SQL') == $count });
		SELECT count(*) FROM canopy_summit.worker_status WHERE in_flight > 0
		SQL
	return;
}

# Every job of a server has succeeded, by one attempt and one request.
sub sent_once
{
	my ($server, $count, $what) = @_;
	all_settled($node, "server = '$server'");
	is(jobs_by_state($node, "server = '$server'"), "succeeded $count", "$what: all have succeeded");
	is(query($node, <<~"SQL"), "$count|$count", "$what: by one attempt each");
		SELECT count(*), count(DISTINCT job_id) FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id)
		WHERE server = '$server'
		SQL
	is(scalar(requests($sandbox, "pulls/$server|widgets", 'seq')), $count, "$what: and one request");
	return;
}

sub all_come
{
	my ($count) = @_;
	# Workers look at everything when there is a new server: none of these is new any more when it is used.
	my ($server, $known, $last) = map { new_server(max_connections => 12) } 1 .. 3;

	hold_answers($server);
	$sandbox->clear_log;
	wait_until('no worker is there', sub { !worker_pids($node) });
	enqueue_many($server, 90, 30);
	all_take_part($count, 'from none, for one statement');
	is(scalar(my @all = worker_pids($node)), $count, 'as many as the setting says');
	$sandbox->clear;
	sent_once($server, 120, 'from none');

	hold_answers($known);
	$sandbox->clear_log;
	wait_until('all are idle', sub { query($node, <<~'SQL') == $count });
		SELECT count(*) FROM canopy_summit.worker_status WHERE in_flight = 0
		SQL
	enqueue_many($known, 90, 30);
	all_take_part($count, 'of those that are there, for one statement');
	$sandbox->clear;
	sent_once($known, 120, 'connected');

	hold_answers($last);
	query($node, "SELECT canopy_summit.pause_server('$last')");
	enqueue_many($last, 180, 0);
	$sandbox->clear_log;
	# Nothing but the restart calls them.
	query($node, q{ALTER SYSTEM SET canopy_summit.databases = 'nowhere'});
	$node->restart;
	my $file = PostgreSQL::Test::Utils::tempdir('refused') . '/sql';
	append_to_file($file, "SELECT canopy_summit.wake();\n" x 3000);
	$node->psql('postgres', '', extra_params => [ '-q', '-o', '/dev/null', '-f', $file ], on_error_die => 1);
	is( query($node, q{SELECT count(*) FROM canopy_summit.worker_status}), 0,
		'a database that is left out has no worker, however often it asks');
	query($node, "DELETE FROM canopy_summit.server_hold; ALTER SYSTEM RESET canopy_summit.databases");
	$node->restart;
	all_take_part($count, 'after a restart');
	$sandbox->clear;
	sent_once($last, 180, 'after a restart');
	return;
}

# Requests of a server that were under way together, at most, by the attempts.
sub most_at_once
{
	my ($server) = @_;
	return query($node, <<~"SQL");
		WITH a AS (SELECT started_at, started_at + total_us * interval '1 us' AS ended_at
			FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id) WHERE server = '$server')
		SELECT max((SELECT count(*) FROM a b WHERE b.started_at <= a.started_at AND b.ended_at > a.started_at))
		FROM a
		SQL
}

sub limits
{
	my ($count) = @_;
	for my $most (1, 2, 7)
	{
		my $server = new_server(max_connections => $most);
		my $fault = hold_answers($server);
		$sandbox->clear_log;
		enqueue_many($server, 10 * $most, 0);
		wait_until("$most requests are on the wire", sub { $sandbox->waiting($fault) >= $most });
		$sandbox->clear;
		sent_once($server, 10 * $most, "max_connections $most");
		is(most_at_once($server), $most, "max_connections $most: so many requests at once, and no more");
	}
	my $rate = 20;
	my $server = new_server(requests_per_second => $rate);
	$sandbox->clear_log;
	enqueue_many($server, 60, 0);
	sent_once($server, 60, 'requests_per_second');
	my ($span, $burst) = split /\|/, query($node, <<~"SQL");
		SELECT extract(epoch FROM max(started_at) - min(started_at)), max(n) FROM (
			SELECT started_at, count(*)
				OVER (ORDER BY started_at RANGE BETWEEN CURRENT ROW AND interval '1 s' FOLLOWING) AS n
			FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id) WHERE server = '$server') x
		SQL
	cmp_ok($burst, '<=', $rate * 1.15 + $count, "requests_per_second: at most $burst in a second");
	cmp_ok($span, '<', SOON, 'and they are used');
	return;
}

sub ordering
{
	my ($count) = @_;
	my $server = new_server();
	# One worker's share of the connections is four: the fifth key is another's.
	my $fault = hold_answers($server);
	query($node, <<~"SQL");
		INSERT INTO canopy_summit.job (server, operation, params, ordering_key)
		SELECT '$server', 'get-pull-by-id', '{"pullId": "$server"}', 'key ' || n % 5 FROM generate_series(1, 100) n
		SQL
	wait_until('the first of each key is on the wire', sub { $sandbox->waiting($fault) == 5 });
	$sandbox->clear;
	all_settled($node, "server = '$server'");
	is( query($node, <<~"SQL"), '0|0',
		SELECT count(*) FILTER (WHERE ended_at > started_at), count(*) FILTER (WHERE job_id < before) FROM (
			SELECT job_id, started_at, lag(job_id) OVER w AS before, lag(started_at + total_us * interval '1 us')
				OVER w AS ended_at
			FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id) WHERE server = '$server'
			WINDOW w AS (PARTITION BY ordering_key ORDER BY started_at)) x
		SQL
		'jobs of one key are sent one after the other, in order');
	is(query($node, <<~"SQL"), '100|100', 'each once');
		SELECT count(*), count(DISTINCT job_id) FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id)
		WHERE server = '$server'
		SQL
	cmp_ok(query($node, <<~"SQL"), '>', 1, 'by more than one worker');
		SELECT count(DISTINCT a.epoch) FROM canopy_summit.job_attempt a JOIN canopy_summit.job USING (job_id)
		WHERE server = '$server'
		SQL
	return;
}

# A worker of two that both have requests on the wire, as many as they may: its pid, its epoch and the keys of its
# claims; and the pid of the other.
sub busy_worker
{
	my ($server, $fault) = @_;
	wait_until('both have requests on the wire', sub { $sandbox->waiting($fault) == 8 });
	return split /\|/, query($node, <<~"SQL");
		SELECT w.pid, w.epoch, string_agg(j.job_id::text, ', '), min(o.pid)
		FROM canopy_summit.worker_status w JOIN canopy_summit.worker_status o ON o.pid <> w.pid
			JOIN canopy_summit.job j ON j.epoch = w.epoch AND j.state = 'running' AND j.server = '$server'
		GROUP BY 1, 2 LIMIT 1
		SQL
}

# The claims of a worker that does not move are taken by the other, past their lease, without being asked to.
sub stopped
{
	my $server = new_server(timeout => '5min');
	query($node, q{ALTER SYSTEM SET canopy_summit.lease_margin = '1s'});
	$node->restart;
	my $fault = hold_answers($server);
	enqueue_many($server, 40, 8);
	my ($pid, $epoch, $claims, $other) = busy_worker($server, $fault);
	stop_asleep($node, $pid);
	query($node, "UPDATE canopy_summit.job SET lease_until = now() WHERE epoch = $epoch");
	soon_ok(
		'its claims are taken over',
		sub { query($node, "SELECT count(*) FROM canopy_summit.job WHERE epoch = $epoch") == 0 });
	$sandbox->clear;
	all_settled($node, "server = '$server'");
	my $states = jobs_by_state($node, "job_id IN ($claims)");
	unlike($states, qr/failed/, "none has failed: $states");
	kill CONT => $pid;
	my $rejected = wait_until('it has said what it knows', sub { query($node, <<~"SQL") });
		SELECT count(*) FROM canopy_summit.job_attempt WHERE epoch = $epoch AND NOT settled AND job_id IN ($claims)
		SQL
	cmp_ok($rejected, '>', 0, "$rejected stale settles are rejected");
	is(jobs_by_state($node, "job_id IN ($claims)"), $states, 'and change nothing');
	is(query($node, <<~"SQL"), $other, 'the other worker is still the same');
		SELECT string_agg(pid::text, ' ') FROM canopy_summit.worker_status WHERE pid = $other
		SQL
	is( jobs_by_state($node, "server = '$server' AND operation = 'get-pull-by-id'"), 'succeeded 40',
		'what may be repeated has succeeded');
	never_twice($server);
	query($node, q{ALTER SYSTEM RESET canopy_summit.lease_margin});
	$node->restart;
	return;
}

# Of a worker that ends the other takes the claims at once; if it is killed, the server starts anew.
sub killed
{
	my ($signal) = @_;
	my $server = new_server(timeout => '5min');
	my $fault = hold_answers($server);
	enqueue_many($server, 80, 16);
	my ($pid, $epoch, $claims, $other) = busy_worker($server, $fault);
	kill $signal => $pid;
	soon_ok(
		'its claims are taken back',
		sub {
			eval { query($node, <<~"SQL") == 0 } });
				SELECT count(*) FROM canopy_summit.job WHERE job_id IN ($claims) AND epoch = $epoch
				SQL
	my $left = query($node, "SELECT count(*) FROM canopy_summit.worker_status WHERE pid = $other");
	is($left, $signal eq 'KILL' ? 0 : 1, $signal eq 'KILL' ? 'the other ends with the server' : 'the other goes on');
	soon_ok('and there are two again', sub { worker_pids($node) == 2 });
	$sandbox->clear;
	all_settled($node, "server = '$server'");
	is(query($node, "SELECT count(*) FROM canopy_summit.job WHERE server = '$server'"), 96, 'no job is lost');
	is( jobs_by_state($node, "server = '$server' AND operation = 'get-pull-by-id'"), 'succeeded 80',
		'what may be repeated has succeeded');
	unlike(jobs_by_state($node, "server = '$server'"), qr/failed/, 'nothing has failed');
	never_twice($server);
	return;
}

sub never_twice
{
	my ($server) = @_;
	my %widgets;
	$widgets{ $_->{body} }++ for grep { $_->{body} =~ /\b$server / } requests($sandbox, 'widgets', 'body');
	is(max(values %widgets), 1, 'nothing unsafe was sent twice');
	is(query($node, <<~"SQL"), 0, 'and nothing counted twice');
		SELECT count(*)
		FROM (SELECT job_id FROM canopy_summit.job_attempt a JOIN canopy_summit.job USING (job_id)
			WHERE server = '$server' AND settled AND a.outcome = 'server answered 200' GROUP BY 1
			HAVING count(*) > 1) x
		SQL
	return;
}
