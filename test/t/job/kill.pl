# Whatever kills the worker or the server while jobs drain: is anything lost, or sent twice that must not be?
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
# What is committed without waiting for the disk is lost with the server.
my $node = new_worker_node(conf => "restart_after_crash = on\nwal_writer_delay = 10s\n");
my $template = $sandbox->pull($sandbox->pull_id('user_good_home'));
my @moments = qw(claiming settling sending);
my $open = q{SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')};

create_canopy_server($node, $sandbox, options => { max_connections => 12 });
$sandbox->put_pull('kill-pull', { %$template, pull_id => 'kill-pull' });

create_gates($node);

# The worker stays in the wanted moment until it is struck.
storm('SIGKILL', scaled(200), signal_worker('KILL'));
storm('SIGTERM', scaled(50), signal_worker('TERM'));
storm('SIGSEGV', scaled(50), signal_worker('SEGV'));
storm('immediate stop', scaled(50), sub { $node->stop('immediate'); $node->start });
storm('SIGKILL of the postmaster', scaled(50), sub { my $pid = $node->{_pid}; $node->kill9; start_again($pid) });
done_testing();

sub signal_worker
{
	my ($signal) = @_;
	return sub { kill $signal => $_[0] }
}

# Drains jobs of every class and interrupts that so often.
sub storm
{
	my ($what, $count, $strike) = @_;
	my $jobs = 0;
	my ($slowest, $hits) = (0, 0);
	my %hits;

	$sandbox->control(DELETE => 'effects');
	$sandbox->control(DELETE => 'state');
	$sandbox->put_pull('kill-pull', { %$template, pull_id => 'kill-pull' });
	$sandbox->clear_log;
	query($node, 'TRUNCATE canopy_summit.job, canopy_summit.job_attempt, canopy_summit.job_response');
	for my $number (1 .. $count)
	{
		my $moment = $moments[ $number % @moments ];
		my $worker = worker_at(
			$moment, node => $node, sandbox => $sandbox, match => { path => '.' },
			enqueue => sub { $jobs += enqueue_jobs($jobs, @_) });
		$strike->($worker->{pid});
		leave_moment($worker);
		my $start = time;
		wait_until(
			'draining goes on',
			sub {
				eval { goes_on($worker->{pid}) }
			});
		$slowest = time - $start if time - $start > $slowest;
		next unless claims_lost($worker->{epoch});
		$hits++;
		$hits{$moment}++;
	}
	wait_until(
		'the server answers, and all is settled',
		sub {
			(eval { query($node, $open) } // 1) == 0;
		});
	is($hits, $count, "$what: all $count hit work in flight");
	is( join(' ', sort keys %hits), join(' ', sort @moments), "$what: while " . join ', ',
		map { "$_ $hits{$_}" } sort keys %hits);
	cmp_ok($slowest, '<', SOON, sprintf '%s: draining goes on soon (%.1f s)', $what, $slowest);
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, "$what: no job is lost");
	is( jobs_by_state($node, q{operation <> 'post-widgets'}), 'succeeded ' . 2 * $jobs / 3,
		"$what: what may be repeated has succeeded");
	unlike(jobs_by_state($node), qr/failed/, "$what: nothing has failed");

	my %sent = map { ($_->{body_sha256} => $_) } @{ $sandbox->control(GET => 'effects/canopy')->{operations} };
	is( scalar(grep { $_->{operation} eq 'post-widgets' && $_->{requests} > 1 } values %sent), 0,
		"$what: nothing unsafe was sent twice");
	my $effects = grep { $_->{operation} eq 'post-widgets' && $_->{effects} == 1 } values %sent;
	my ($succeeded) = jobs_by_state($node, q{operation = 'post-widgets'}) =~ /succeeded (\d+)/;
	my ($doubtful) = jobs_by_state($node, q{operation = 'post-widgets'}) =~ /in_doubt (\d+)/;
	cmp_ok($effects, '>=', $succeeded, "$what: each that succeeded had its effect");
	cmp_ok(
		$effects, '<=', $succeeded + ($doubtful // 0),
		"$what: and each effect is a job that succeeded or is in doubt");
	is( query($node, <<~'SQL'), 0,
		SELECT count(*) FROM canopy_summit.job j WHERE state = 'succeeded' AND NOT EXISTS (
		SELECT FROM canopy_summit.job_attempt a WHERE a.job_id = j.job_id AND a.settled AND a.status = 200)
		SQL
		"$what: every success has its attempt");
	return;
}

# More jobs of each class, when there are so many; how many more.
sub enqueue_jobs
{
	my ($jobs, $more) = @_;
	my ($first, $each) = ($jobs / 3, $more / 3);
	query($node, sprintf <<~'SQL', $first + 1, $first + $each);
		INSERT INTO canopy_summit.job (server, operation, params, body)
		SELECT 'canopy', o.operation, o.params, CASE o.operation
			WHEN 'post-widgets' THEN jsonb_build_object('intro_title', 'widget ' || n)
			WHEN 'patch-pull-by-id' THEN '{"is_archived": false}' END
		FROM generate_series(%d, %d) AS n,
			(VALUES ('get-pull-by-id', '{"pullId": "kill-pull"}'::jsonb), ('post-widgets', '{}'),
			('patch-pull-by-id', '{"pullId": "kill-pull"}')) AS o(operation, params)
		SQL
	return $more;
}

# How many claims of a worker's epoch were lost with it, once they have been taken back.
sub claims_lost
{
	my ($epoch) = @_;
	wait_until(
		'its claims are taken back',
		sub {
			(eval { query($node, "SELECT count(*) FROM canopy_summit.job WHERE epoch = $epoch") } // 1) == 0;
		});
	return query($node, "SELECT count(*) FROM canopy_summit.job_attempt WHERE epoch = $epoch AND code = 'worker_lost'");
}

# Whether another worker than the one that was struck has got something done, or nothing is left to do.
sub goes_on
{
	my ($pid) = @_;
	return query($node, <<~"SQL") eq 't';
		SELECT EXISTS (SELECT FROM canopy_summit.worker_status WHERE pid <> $pid AND settled > 0)
			OR NOT EXISTS (SELECT FROM canopy_summit.job WHERE state IN ('queued', 'running'))
		SQL
}

# Once what the dead postmaster left has gone.
sub start_again
{
	my ($pid) = @_;
	my $data = $node->data_dir;
	wait_until(
		'its processes are gone',
		sub {
			!-e "/proc/$pid" && !grep { (readlink($_) // '') eq $data } glob '/proc/[0-9]*/cwd';
		});
	$node->start;
	return;
}
