# Does every upload have exactly one effect, whatever process is killed, and when?
use strict;
use warnings;

use CanopyJobs qw(stopped_worker);
use CanopyTest;
use CanopyUpload;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_node(conf => <<~'END');
	shared_preload_libraries = 'canopy_summit'
	restart_after_crash = on
	log_statement = none
	log_min_messages = fatal
	canopy_summit.max_in_flight = 16
	END
create_summit_server($node, $sandbox);
# Answers take long enough that there is always something on the wire.
$sandbox->arm(match => { listener => 'summit' }, times => undef, fault => { kind => 'stall', at => 'before_headers', seconds => 0.04 });
$node->safe_psql('postgres', 'CREATE FUNCTION payload(number integer) RETURNS jsonb LANGUAGE sql AS $$'
	. q{SELECT jsonb_set('} . payload('x') . q{', '{policy,policy_number}', to_jsonb('POL-' || number))$$});

my $uploads = 0;

# More uploads, each of a policy of its own.
sub enqueue
{
	my ($count) = @_;
	my ($first, $last) = ($uploads + 1, $uploads + $count);
	wait_until('uploads are enqueued', sub {
		defined answer("SET client_min_messages = error; SELECT count(summit_upload_policy(payload(n))) FROM generate_series($first, $last) n");
	});
	$uploads = $last;
	return;
}

# A value, or undef while the server does not answer.
sub answer
{
	my ($sql) = @_;
	my ($status, $stdout) = eval { $node->psql('postgres', $sql) }; # which dies if psql leaves before it has read
	return defined $status && $status == 0 ? $stdout : undef;
}

sub queued { return wait_until('the queue is counted', sub { answer(q{SELECT count(*) + 1 FROM (SELECT FROM canopy_summit.job WHERE operation = 'upload-policy' AND state IN ('queued', 'running') LIMIT 300) q}) }) - 1 }

# How many claims of a worker's epoch were lost with it, once they have been taken back.
sub claims_lost
{
	my ($epoch) = @_;
	wait_until('lost claims are taken back', sub { (answer("SELECT count(*) FROM canopy_summit.job WHERE epoch = $epoch") // 1) == 0 });
	return wait_until('lost claims are counted', sub { answer("SELECT 'n' || count(*) FROM canopy_summit.job_attempt WHERE code = 'worker_lost' AND epoch = $epoch") }) =~ s/n//r;
}

# Kills in the given way until it has been done so many times, while uploads drain.
sub kill_many
{
	my ($name, $count, $total, $kill) = @_;
	my ($slowest, $hits) = (0, 0);
	my %hits;

	enqueue($total);
	for my $turn (1 .. $count)
	{
		enqueue(300) if queued() < 200;
		my $moment = (qw(claiming settling sending))[ $turn % 3 ];
		my $worker;
		enqueue(300) until $worker = stopped_worker($node, $moment);
		my $killed_at = time;
		$kill->($worker->{pid});
		wait_until("a worker goes on after $name $turn", sub { answer("SELECT count(*) FROM canopy_summit.worker_status WHERE settled > 0 AND epoch > $worker->{epoch}") });
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
	all_uploaded($name);
	return;
}

sub all_uploaded
{
	my ($name) = @_;
	wait_until("all is sent after $name", sub { my $left = answer(q{SELECT count(*) FROM canopy_summit.job WHERE operation = 'upload-policy' AND state IN ('queued', 'running')}); defined $left && $left == 0 }, 300);
	is(answer(q{SELECT string_agg(DISTINCT status, ' ' ORDER BY status) FROM summit.upload WHERE status NOT IN ('verified', 'accepted')}), '', "$name: every upload is accepted or verified");
	is(answer('SELECT count(*), count(DISTINCT policy_number), count(DISTINCT idempotency_key) FROM summit.upload'), "$uploads|$uploads|$uploads", "$name: and there");

	my $keys = wait_until('keys are read', sub { answer('SELECT string_agg(policy_number || \' \' || idempotency_key, \',\') FROM summit.upload') });
	my %key = map { split ' ' } split /,/, $keys;
	my (%effects, %keys_of);
	for my $row (effect_rows($sandbox))
	{
		$effects{ $row->{policy_number} } += $row->{effects};
		$keys_of{ $row->{policy_number} }{ $row->{idempotency_key} } = $row->{bodies};
	}
	is(scalar(grep { !$effects{$_} } keys %key), 0, "$name: none is lost");
	is(scalar(grep { $effects{$_} > 1 } keys %effects), 0, "$name: none has two effects");
	is(scalar(grep { my $key = $key{$_}; join(' ', %{ $keys_of{$_} // {} }) ne "$key 1" } keys %key), 0, "$name: each was sent with its one key and one body");
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
