# Does every upload have exactly one effect, whatever process is killed, and when?
use strict;
use warnings;

use CanopyDrain;
use CanopyJobs qw(stopped_worker);
use CanopyTest;
use Test::More;
use Time::HiRes qw(time);

my $seed = test_seed();
my $drain = CanopyDrain->new;
my $node = $drain->{node};

# How many claims of a worker's epoch were lost with it, once they have been taken back.
sub claims_lost
{
	my ($epoch) = @_;
	wait_until('lost claims are taken back', sub { ($drain->answer("SELECT count(*) FROM canopy_summit.job WHERE epoch = $epoch") // 1) == 0 });
	return wait_until('lost claims are counted', sub { $drain->answer("SELECT 'n' || count(*) FROM canopy_summit.job_attempt WHERE code = 'worker_lost' AND epoch = $epoch") }) =~ s/n//r;
}

# Kills in the given way until it has been done so many times, while uploads drain.
sub kill_many
{
	my ($name, $count, $total, $kill) = @_;
	my ($slowest, $hits) = (0, 0);
	my %hits;

	$drain->enqueue($total);
	for my $turn (1 .. $count)
	{
		$drain->enqueue(300) if $drain->queued < 200;
		my $moment = (qw(claiming settling sending))[ $turn % 3 ];
		my $worker;
		$drain->enqueue(300) until $worker = stopped_worker($node, $moment);
		my $killed_at = time;
		$kill->($worker->{pid});
		wait_until("a worker goes on after $name $turn", sub { $drain->answer("SELECT count(*) FROM canopy_summit.worker_status WHERE settled > 0 AND epoch > $worker->{epoch}") });
		my $pause = time - $killed_at;
		$slowest = $pause if $pause > $slowest;
		next unless claims_lost($worker->{epoch});
		$hits++;
		$hits{$moment}++;
	}
	diag(sprintf '%s: %d of %d hit work in flight (claiming %d, settling %d, sending %d); slowest pause %.1f s', $name, $hits, $count, map { $_ // 0 } @hits{qw(claiming settling sending)}, $slowest);
	cmp_ok($hits, '>=', 0.75 * $count, "$name: at least three quarters hit work in flight");
	is(scalar keys %hits, 3, "$name: at every step");
	cmp_ok($slowest, '<', 10, "$name: draining goes on within 10 s");
	$drain->all_uploaded($name);
	return;
}

# The worker has been stopped in its moment, and goes on into what strikes it.
sub signal_worker { my ($signal) = @_; return sub { kill $signal => $_[0]; kill CONT => $_[0] } }

# The server comes back, if it has to be started.
sub start_again
{
	wait_until('the server starts', sub { $node->{_pid} = undef; $node->start(fail_ok => 1) });
	return;
}

kill_many('kill -9 of the worker', scaled(200), scaled(10_000), signal_worker('KILL'));
kill_many('SIGTERM of the worker', scaled(50), scaled(2_500), signal_worker('TERM'));
kill_many('SIGSEGV of the worker', scaled(50), scaled(2_500), signal_worker('SEGV'));
kill_many('immediate stop', scaled(50), scaled(2_500), sub { kill CONT => $_[0]; $node->stop('immediate'); $node->start });
kill_many('kill -9 of the postmaster', scaled(50), scaled(2_500), sub {
	my ($worker) = @_;
	$node->kill9;
	kill CONT => $worker;
	wait_until('the worker ends, too', sub { !kill 0 => $worker });
	start_again();
});
done_testing();
