# Whatever kills the worker or the server while jobs drain: is anything lost, or sent twice that must not be?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_worker_node(conf => "restart_after_crash = on\ncanopy_summit.claim_batch = 20\n");
my $template = $sandbox->pull($sandbox->pull_id('user_good_home'));
my %moments;
my ($kills, $hits) = (0, 0);
my $open = q{SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')};

# Few at a time, each of a tenth of a second, so that there is something to interrupt for long enough.
create_canopy_server($node, $sandbox, options => { max_connections => 12 });
$sandbox->put_pull('kill-pull', { %$template, pull_id => 'kill-pull' });

storm('SIGKILL', scaled(200), sub { kill KILL => $_[0] });
storm('SIGTERM', scaled(50), sub { kill TERM => $_[0] });
storm('SIGSEGV', scaled(50), sub { kill SEGV => $_[0] });
storm('immediate stop', scaled(50), sub { $node->stop('immediate'); $node->start });
storm('SIGKILL of the postmaster', scaled(50), sub { my $pid = $node->{_pid}; $node->kill9; start_again($pid) });
cmp_ok($hits, '>=', 0.75 * $kills, "$hits of $kills kills hit work in flight: " . join ', ', map { "$moments{$_} $_" } sort keys %moments);
cmp_ok(scalar keys %moments, '>=', 2, 'at more than one point of its way');
done_testing();

# Drains jobs of every class and interrupts that so often.
sub storm
{
	my ($what, $count, $strike) = @_;
	my $jobs = 50 * $count;
	my ($slowest, $struck) = (0, 0);

	$sandbox->control(DELETE => 'effects');
	$sandbox->control(DELETE => 'state');
	$sandbox->put_pull('kill-pull', { %$template, pull_id => 'kill-pull' });
	$sandbox->clear_log;
	query($node, 'TRUNCATE canopy_summit.job, canopy_summit.job_attempt, canopy_summit.job_response');
	enqueue_jobs($jobs);
	$sandbox->clear;
	$sandbox->arm(match => { path => '.' }, times => undef, fault => { kind => 'stall', at => 'before_headers', seconds => 0.1 });
	for my $number (1 .. $count)
	{
		my $target = await_work();
		last unless $target;
		$kills++;
		$struck++;
		$strike->($target->{pid});
		$hits++ if $target->{in_flight} > 0 || $target->{activity};
		$moments{ $target->{activity} ? 'while settling or claiming' : $target->{in_flight} > 0 ? 'while sending' : 'between jobs' }++;
		my $start = time;
		wait_until('draining goes on', sub { eval { goes_on($target->{pid}) } }, 60);
		$slowest = time - $start if time - $start > $slowest;
	}
	wait_until('the server answers, and all is settled', sub { (eval { query($node, $open) } // 1) == 0 }, 120);
	cmp_ok($struck, '>=', 0.75 * $count, "$what: $struck times");
	cmp_ok($slowest, '<', 10, sprintf '%s: draining goes on within 10 s (%.1f s)', $what, $slowest);
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, "$what: no job is lost");
	is(jobs_by_state($node, q{operation <> 'post-widgets'}), 'succeeded ' . 2 * int($jobs / 3), "$what: what may be repeated has succeeded");
	unlike(jobs_by_state($node), qr/failed/, "$what: nothing has failed");

	my %sent = map { ($_->{body_sha256} => $_) } @{ $sandbox->control(GET => 'effects/canopy')->{operations} };
	is(scalar(grep { $_->{operation} eq 'post-widgets' && $_->{requests} > 1 } values %sent), 0, "$what: nothing unsafe was sent twice");
	my $effects = grep { $_->{operation} eq 'post-widgets' && $_->{effects} == 1 } values %sent;
	my ($succeeded) = jobs_by_state($node, q{operation = 'post-widgets'}) =~ /succeeded (\d+)/;
	my ($doubtful) = jobs_by_state($node, q{operation = 'post-widgets'}) =~ /in_doubt (\d+)/;
	cmp_ok($effects, '>=', $succeeded, "$what: each that succeeded had its effect");
	cmp_ok($effects, '<=', $succeeded + ($doubtful // 0), "$what: and each effect is a job that succeeded or is in doubt");
	is(query($node, q{SELECT count(*) FROM canopy_summit.job j WHERE state = 'succeeded' AND NOT EXISTS (
		SELECT FROM canopy_summit.job_attempt a WHERE a.job_id = j.job_id AND a.settled AND a.status = 200)}), 0, "$what: every success has its attempt");
	return;
}

sub enqueue_jobs
{
	my ($count) = @_;
	query($node, sprintf q{
		INSERT INTO canopy_summit.job (server, operation, params, body)
		SELECT 'canopy', o.operation, o.params, CASE o.operation WHEN 'post-widgets' THEN jsonb_build_object('intro_title', 'widget ' || n)
			WHEN 'patch-pull-by-id' THEN '{"is_archived": false}' END
		FROM generate_series(1, %d) AS n, (VALUES ('get-pull-by-id', '{"pullId": "kill-pull"}'::jsonb), ('post-widgets', '{}'),
			('patch-pull-by-id', '{"pullId": "kill-pull"}')) AS o(operation, params)}, $count / 3);
	query($node, sprintf q{INSERT INTO canopy_summit.job (server, operation, body) SELECT 'canopy', 'post-widgets', jsonb_build_object('intro_title', 'more ' || n) FROM generate_series(1, %d) n}, $count % 3)
	  if $count % 3;
	return;
}

# Waits, in a moment chosen at random, for a worker that has something to do; none if all is done.
sub await_work
{
	my $wants_activity = rand() < 0.5;
	my $deadline = time + 60;
	my $found;

	while (time < $deadline)
	{
		# The session may end with the server.
		my $session = eval { $node->background_psql('postgres') } // next;
		last if eval { $found = find_work($session, $wants_activity, $deadline); 1 };
	}
	sleep rand 0.01;
	return $found;
}

# A worker at a moment of the kind that is wanted; undef if no job is left.
sub find_work
{
	my ($session, $wants_activity, $deadline) = @_;
	my $found;

	while (time < $deadline)
	{
		my $row = $session->query(q{
			SELECT row_to_json(r) FROM (
				SELECT w.pid, w.in_flight, a.state = 'active' AS activity
				FROM canopy_summit.worker_status w JOIN pg_stat_activity a USING (pid) LIMIT 1) AS r});
		$found = $row =~ /^\{/ ? JSON::PP->new->decode($row) : undef;
		last if $found && ($wants_activity ? $found->{activity} : $found->{in_flight} > 0);
		$found = undef;
		last if $session->query(q{SELECT EXISTS (SELECT FROM canopy_summit.job WHERE state IN ('queued', 'running'))}) eq 'f';
	}
	$session->quit;
	return $found;
}

# Whether another worker than the one that was struck has got something done, or nothing is left to do.
sub goes_on
{
	my ($pid) = @_;
	return query($node, qq{
		SELECT EXISTS (SELECT FROM canopy_summit.worker_status WHERE pid <> $pid AND settled > 0)
			OR NOT EXISTS (SELECT FROM canopy_summit.job WHERE state IN ('queued', 'running'))}) eq 't';
}

# Once what the dead postmaster left has gone.
sub start_again
{
	my ($pid) = @_;
	my $data = $node->data_dir;
	wait_until('its processes are gone', sub { !-e "/proc/$pid" && !grep { (readlink // '') eq $data } glob '/proc/[0-9]*/cwd' }, 60);
	$node->start;
	return;
}
