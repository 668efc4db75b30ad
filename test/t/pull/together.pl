# Are the rows right of pulls whose answers one transaction stores?
use strict;
use warnings;

use CanopyJobs;
use CanopyMoment;
use CanopyProcess;
use CanopyTest;
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();

create_canopy_server($node, $sandbox, options => { max_connections => 64 });
subtest 'pulls that have nothing to do with each other' => \&strangers;
subtest 'two states of one pull' => \&states;
subtest 'two pulls of one account' => \&accounts;
subtest 'one that cannot be stored' => \&misfit;
subtest 'more than are stored at once' => \&many;
done_testing();

sub strangers
{
	$sandbox->put_pull("stranger$_", a_pull("stranger$_", vehicles => $_)) for 1 .. 3;
	is(transactions(together(map { "stranger$_" } 1 .. 3)), 1, 'they were stored together');
	is(vehicles('stranger%'), 'stranger1 1, stranger2 2, stranger3 3', 'each has its rows');
	$sandbox->put_pull("stranger$_", a_pull("stranger$_", vehicles => 4 - $_)) for 1 .. 3;
	is(transactions(together(map { "stranger$_" } 1 .. 3)), 1, 'and again');
	is(vehicles('stranger%'), 'stranger1 3, stranger2 2, stranger3 1', 'in place of those that they had');
	return;
}

sub states
{
	my @jobs = together(
		[ 'twice', a_pull('twice', vehicles => 3) ],
		[ 'other', a_pull('other', vehicles => 2) ],
		[ 'twice', a_pull('twice', vehicles => 1) ]);
	is(transactions(@jobs), 1, 'they were stored together');
	is(query($node, q{SELECT max(version) FROM canopy_summit.pull_version WHERE pull_id = 'twice'}), 2, 'both states');
	is(vehicles('twice'), 'twice 1', 'the rows are those of the last');
	is(vehicles('other'), 'other 2', 'and those of another pull its own');
	return;
}

sub accounts
{
	my %of = (account_identifier => 'account', vehicles => 1);
	my @jobs = together(
		[ 'newer', a_pull('newer', %of, created_at => '2026-02-01T00:00:00Z') ],
		[ 'newest', a_pull('newest', %of, created_at => '2026-03-01T00:00:00Z') ],
		[ 'older', a_pull('older', %of, created_at => '2026-01-01T00:00:00Z') ]);
	is(transactions(@jobs), 1, 'they were stored together');
	is( query($node, 'SELECT string_agg(pull_id, $$, $$) FROM canopy.vehicle WHERE account_identifier = $$account$$'),
		'newest', 'the views show the newest');
	is( query(
			$node, 'SELECT string_agg(pull_id, $$, $$) FROM canopy_summit.vehicle WHERE is_current
			AND pull_id IN ($$newer$$, $$newest$$, $$older$$)'),
		'newest',
		'whose rows alone say so');
	return;
}

# What fails takes nobody along, nor what was to be written with it.
sub misfit
{
	query($node, <<~'SQL');
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END';
		CREATE TRIGGER refuse BEFORE INSERT ON canopy_summit.vehicle FOR EACH ROW WHEN (NEW.pull_id = 'misfit2')
			EXECUTE FUNCTION refuse();
		SQL
	my @jobs = together(map { [ "misfit$_", a_pull("misfit$_", vehicles => 1) ] } 1 .. 3);
	is(join(', ', map { job($node, $_)->{state} } @jobs), 'succeeded, failed, succeeded', 'one has failed');
	is(vehicles('misfit%'), 'misfit1 1, misfit3 1', 'the others have their rows');
	is( query($node, q{SELECT count(*) FROM canopy_summit.pull_version WHERE pull_id = 'misfit2'}), 0,
		'nothing is left of it');
	query($node, 'DROP TRIGGER refuse ON canopy_summit.vehicle');
	return;
}

sub many
{
	my @jobs = together(map { [ "many$_", a_pull("many$_", vehicles => 1) ] } 1 .. 40);
	my $transactions = transactions(@jobs);
	cmp_ok($transactions, '>=', 3, 'several transactions have stored them');
	cmp_ok($transactions, '<', 40, 'but not one each');
	is(query($node, q{SELECT count(*) FROM canopy.vehicle WHERE pull_id LIKE 'many%'}), 40, 'all have their rows');
	return;
}

sub a_pull
{
	my ($pull_id, %has) = @_;
	my $vehicles = delete $has{vehicles};
	my @vehicles = map { { vehicle_id => "v$_" } } 1 .. $vehicles;
	return {
		pull_id => $pull_id, status => 'SUCCESS', %has,
		policies => [ { policy_id => "$pull_id policy", vehicles => \@vehicles } ] };
}

# Has pulls fetched whose answers the worker finds all at once, in this order; the jobs.
# [pull_id, pull]: as it is when it is asked for.
sub together
{
	my (@fetches) = @_;
	my $held = $sandbox->hold(match => { path => '/pulls/' });
	my @jobs;

	foreach my $fetch (@fetches)
	{
		my ($pull_id, $pull) = ref $fetch ? @$fetch : ($fetch);
		$sandbox->put_pull($pull_id, $pull) if defined $pull;
		push @jobs, enqueue($node, 'get-pull-by-id', { pullId => $pull_id });
		wait_until('the sandbox has it', sub { $sandbox->waiting($held) == @jobs });
	}
	my ($worker) = worker_pids($node);
	stop_asleep($node, $worker);
	$sandbox->clear($held);
	wait_until(
		'all answers are there',
		sub {
			@jobs == grep { $_->[2] > 0 } CanopyProcess::connections($worker);
		});
	kill CONT => $worker;
	settled($node, $_) for @jobs;
	return @jobs;
}

# How many transactions have settled these jobs.
sub transactions
{
	my $jobs = join ',', @_;
	return query(
		$node,
		"SELECT count(DISTINCT finished_at) FROM canopy_summit.job WHERE job_id IN ($jobs)");
}

sub vehicles
{
	my ($like) = @_;
	return query($node, <<~"SQL");
		SELECT string_agg(pull_id || ' ' || n, ', ' ORDER BY pull_id)
		FROM (SELECT pull_id, count(*) AS n FROM canopy_summit.vehicle WHERE pull_id LIKE '$like' GROUP BY 1) AS v
		SQL
}
