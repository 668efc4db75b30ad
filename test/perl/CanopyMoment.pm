# CanopyMoment.pm - a worker in a moment of its life, in which it stays until the test lets it go on.
#
# No moment is caught by looking for it: answers stall until they are released, and a claim or a settle
# waits in its transaction for a lock that the test holds.
package CanopyMoment;

use strict;
use warnings;

use CanopyJobs qw(query);
use CanopyTest;
use Exporter 'import';
use PostgreSQL::Test::Utils qw(slurp_file);

our @EXPORT = qw(create_gate_function create_gates worker_at leave_moment stop_asleep);

# Keys of advisory locks. What takes back the claims of a lost worker is no settle.
my %gates = (
	claiming => [ 1001, q{OLD.state = 'queued' AND NEW.state = 'running'} ],
	settling =>
	  [ 1002, q{OLD.state = 'running' AND NEW.state <> 'running' AND NEW.outcome_code IS DISTINCT FROM 'worker_lost'} ]
);

# Once a node: a trigger's function that waits while somebody holds the advisory lock of its argument.
sub create_gate_function
{
	my ($node) = @_;

	query($node, <<~'SQL');
		CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
		BEGIN
			PERFORM pg_catalog.pg_advisory_xact_lock_shared(TG_ARGV[0]::bigint);
			RETURN NULL;
		END
		$$
		SQL
	return;
}

# Once a node; then every claim and every settle waits while the lock of its gate is held.
sub create_gates
{
	my ($node) = @_;

	create_gate_function($node);
	query($node, join '', map { <<~"SQL" } sort keys %gates);
		CREATE TRIGGER $_ AFTER UPDATE ON canopy_summit.job FOR EACH ROW WHEN ($gates{$_}[1])
		EXECUTE FUNCTION gate('$gates{$_}[0]');
		SQL
	return;
}

# A worker that is claiming, settling or sending, with requests on the wire besides: { pid, epoch, … }. Options: node,
# sandbox, match (what is sent, as a fault matches it), enqueue (a function that enqueues so many jobs).
sub worker_at
{
	my ($moment, %with) = @_;
	my ($node, $sandbox) = @with{qw(node sandbox)};
	# What is left of the moment before would take the connections that this one is to have.
	wait_until('nothing is under way', sub { query($node, <<~'SQL') == 0 });
		SELECT count(*) FROM canopy_summit.job WHERE state = 'running' OR (state = 'queued' AND run_at <= now())
		SQL
	my $fault = $sandbox->hold(match => $with{match});
	my $here = q{SELECT pid FROM canopy_summit.worker_status WHERE in_flight > 0};
	my $gate;

	$with{enqueue}->(6);
	wait_until('requests are on the wire', sub { $sandbox->waiting($fault) >= 6 });
	if ($gates{$moment})
	{
		$gate = open_session($node, on_error_stop => 0);
		$gate->query("SELECT pg_advisory_lock($gates{$moment}[0])");
		$here = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = $gates{$moment}[0] AND NOT granted";
	}
	$with{enqueue}->(30) if $moment eq 'claiming';
	$sandbox->release($fault, 3) if $moment eq 'settling';
	my $pid = wait_until("a worker is $moment", sub { query($node, "$here LIMIT 1") });
	return {
		pid => $pid, epoch => query($node, "SELECT epoch FROM canopy_summit.worker_status WHERE pid = $pid"),
		gate => $gate, fault => $fault, sandbox => $sandbox };
}

# Nothing is held any more, neither at the gate nor on the wire.
sub leave_moment
{
	my ($worker) = @_;
	my $gate = delete $worker->{gate};

	# Whatever struck the worker may have struck this session, too.
	if ($gate)
	{
		$gate->{run}->kill_kill;
		eval { $gate->{run}->finish };
	}
	$worker->{sandbox}->clear;
	return;
}

# Stops a worker by SIGSTOP while it waits for answers, which do not come, and has nothing else to do: it
# holds no lock then, of whatever kind.
sub stop_asleep
{
	my ($node, $pid) = @_;

	wait_until(
		'the worker is asleep',
		sub {
			return 0 unless slurp_file("/proc/$pid/status") =~ /^State:\s+S/m;
			kill STOP => $pid or die "could not stop the worker: $!";
			wait_until('it stands still', sub { slurp_file("/proc/$pid/status") =~ /^State:\s+T/m });
			return 1 if query($node, <<~"SQL") eq 't';
				SELECT wait_event IS NOT NULL AND xact_start IS NULL FROM pg_stat_activity WHERE pid = $pid
				SQL
			kill CONT => $pid;
			return 0;
		});
	return;
}

1;
