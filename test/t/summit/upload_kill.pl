# Does every upload have exactly one effect, whatever process is killed, and when?
use strict;
use warnings;

use CanopyDrain;
use CanopyMoment;
use CanopyTest;
use Test::More;
use Time::HiRes qw(time);

my $seed = test_seed();
my $drain = CanopyDrain->new;
my $node = $drain->{node};
create_gates($node);

# How many claims of a worker's epoch were lost with it, once they have been taken back.
sub claims_lost
{
	my ($epoch) = @_;
	wait_until(
		'lost claims are taken back',
		sub { ($drain->answer("SELECT count(*) FROM canopy_summit.job WHERE epoch = $epoch") // 1) == 0 });
	return wait_until('lost claims are counted', sub { $drain->answer(<<~"SQL") }) =~ s/n//r;
		SELECT 'n' || count(*) FROM canopy_summit.job_attempt WHERE code = 'worker_lost' AND epoch = $epoch
		SQL
}

# Kills in the given way so many times, while uploads drain; the worker stays in its moment until it is killed.
sub kill_many
{
	my ($name, $count, $kill) = @_;
	my ($slowest, $hits) = (0, 0);
	my %hits;

	for my $turn (1 .. $count)
	{
		my $moment = (qw(claiming settling sending))[ $turn % 3 ];
		my $worker = worker_at(
			$moment, node => $node, sandbox => $drain->{sandbox},
			match => { listener => 'summit', path => '^/v1/policies' }, enqueue => sub { $drain->enqueue(@_) });
		my $killed_at = time;
		$kill->($worker->{pid});
		leave_moment($worker);
		wait_until("a worker goes on after $name $turn", sub { $drain->answer(<<~"SQL") });
			SELECT count(*) FROM canopy_summit.worker_status WHERE settled > 0 AND epoch > $worker->{epoch}
			SQL
		my $pause = time - $killed_at;
		$slowest = $pause if $pause > $slowest;
		next unless claims_lost($worker->{epoch});
		$hits++;
		$hits{$moment}++;
	}
	is($hits, $count, "$name: all hit work in flight");
	is(scalar keys %hits, 3, "$name: at every step");
	cmp_ok($slowest, '<', SOON, sprintf '%s: draining goes on soon (%.1f s)', $name, $slowest);
	$drain->all_uploaded($name);
	return;
}

sub signal_worker
{
	my ($signal) = @_;
	return sub { kill $signal => $_[0] }
}

# The server comes back, if it has to be started.
sub start_again
{
	wait_until('the server starts', sub { $node->{_pid} = undef; $node->start(fail_ok => 1) });
	return;
}

kill_many('kill -9 of the worker', scaled(200), signal_worker('KILL'));
kill_many('SIGTERM of the worker', scaled(50), signal_worker('TERM'));
kill_many('SIGSEGV of the worker', scaled(50), signal_worker('SEGV'));
kill_many('immediate stop', scaled(50), sub { $node->stop('immediate'); $node->start });
kill_many(
	'kill -9 of the postmaster',
	scaled(50),
	sub {
		my ($worker) = @_;
		$node->kill9;
		wait_until('the worker ends, too', sub { !kill 0 => $worker });
		start_again();
	});
done_testing();
