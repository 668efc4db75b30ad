# One database tells another: does every event have exactly one effect there, whatever process is killed, and when?
use strict;
use warnings;

use CanopyJobs;
use CanopyMoment;
use CanopyReceiver;
use CanopyTest;
use CanopyWebhook;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = test_seed();
my $json = JSON::PP->new->canonical;
my $dir = PostgreSQL::Test::Utils::tempdir('tls');
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $told = 0;

system_or_bail(
	'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext',
	'subjectAltName=DNS:localhost', '-keyout', "$dir/key.pem", '-out', "$dir/cert.pem");
chmod 0600, "$dir/key.pem";
my $sender = new_worker_node(name => 'sender', conf => 'restart_after_crash = on');
my $receiver = new_worker_node(
	name => 'receiver',
	conf => "restart_after_crash = on\ncanopy_summit.receiver_port = $port\n"
	  . "canopy_summit.receiver_tls_cert_file = '$dir/cert.pem'\n"
	  . "canopy_summit.receiver_tls_key_file = '$dir/key.pem'");

create_webhook_servers($_) for $sender, $receiver;
query($sender, <<~"SQL");
	CREATE SERVER onward FOREIGN DATA WRAPPER webhook_endpoint OPTIONS (environment 'sandbox',
		base_url 'https://localhost:$port/webhooks/summit', ca_file '$dir/cert.pem', allow_private_addresses 'true');
	CREATE USER MAPPING FOR CURRENT_USER SERVER onward OPTIONS (webhook_secret 'summit secret')
	SQL
create_gates($sender);

# Every delivery waits before it is stored, or before it is applied, while the lock of that gate is held.
create_gate_function($receiver);
query($receiver, <<~'SQL');
	CREATE TRIGGER storing AFTER INSERT ON canopy_summit.webhook FOR EACH ROW EXECUTE FUNCTION gate('2001');
	CREATE TRIGGER applying AFTER UPDATE ON canopy_summit.webhook FOR EACH ROW
		WHEN (OLD.state = 'stored' AND NEW.state = 'applied') EXECUTE FUNCTION gate('2002')
	SQL
wait_until('the receiver listens', sub { connected($port) });

# Where what waits is held, and what is killed then: the process that waits, or a server.
my %moments = (
	'storing' => [ $receiver, 2001, [ waiting => $receiver ], [ server => $receiver ], [ worker => $sender ] ],
	'stored, not settled' => [ $sender, 1002, [ waiting => $sender ], [ server => $sender ] ],
	'applying' => [ $receiver, 2002, [ waiting => $receiver ], [ server => $receiver ] ]);

for my $round (1 .. scaled(100))
{
	for my $moment (sort keys %moments)
	{
		my ($held, $gate, @victims) = @{ $moments{$moment} };
		kill_at($moment, $held, $gate, $_) for @victims;
	}
}
all_told();
done_testing();

# Tells of some policies, and kills when a process has come to the gate.
sub kill_at
{
	my ($moment, $held, $gate, $victim) = @_;
	my ($what, $whose) = @$victim;
	my $session = open_session($held, on_error_stop => 0);
	$session->query("SELECT pg_advisory_lock($gate)");
	announce() for 1 .. 1 + int rand 4;
	my $waits = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = $gate AND NOT granted LIMIT 1";
	my $pid = wait_until("somebody is $moment", sub { query($held, $waits) });
	if ($what eq 'server')
	{
		$whose->stop('immediate');
		$whose->start;
	}
	else
	{
		($pid) = worker_pids($whose) if $what eq 'worker';
		kill KILL => $pid;
		# A process that is killed takes all others with it; the server starts again by itself.
		wait_until('it is gone', sub { !kill 0 => $pid });
	}
	eval { $session->{run}->kill_kill; $session->{run}->finish };
	for my $node ($sender, $receiver)
	{
		wait_until(
			'servers are up',
			sub {
				eval { query($node, 'SELECT 1') };
			});
	}
	return;
}

# A webhook of Summit comes to the sender, of a policy of its own.
sub announce
{
	my $body = $json->encode(
		{   delivery_id => 'd-' . ++$told, event => 'policy.verified', attempt => 1,
			occurred_at => '2026-03-01T00:00:00Z',
			data => {
				policy => { policy_number => "P-$told", verified_at => '2026-03-01T00:00:00Z' },
				certificate_holder => { reference_ids => { property_id => 'KEL-001' } } } });
	is(receive($sender, 'summit', $body), '200 stored', 'the sender is told') or die 'the webhook was not stored';
	return;
}

# What failed is due at once, and nothing is given up.
sub all_told
{
	wait_until(
		'every delivery has arrived',
		sub {
			query($sender, <<~'SQL');
				SELECT canopy_summit.replay_deliveries();
				UPDATE canopy_summit.job SET run_at = now() WHERE operation = 'post-delivery' AND state = 'queued'
					AND run_at > now();
				SELECT canopy_summit.wake()
				SQL
			query($sender, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0
			  && query($sender, q{SELECT count(*) FROM summit.delivery WHERE state <> 'delivered'}) == 0;
		});
	wait_until(
		'and is applied',
		sub { query($receiver, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
	is(query($sender, 'SELECT count(*) FROM summit.delivery'), $told, 'one delivery an event');
	is( query($receiver, 'SELECT count(*), count(DISTINCT policy_number) FROM canopy_summit.policy_status'),
		"$told|$told",
		'every policy is known to the receiver');
	is(query($receiver, 'SELECT count(*) FROM canopy_summit.status_event'), $told, 'by one event each');
	is(query($receiver, q{SELECT count(*) FROM canopy_summit.webhook WHERE state <> 'applied'}), 0, 'and no other');
	cmp_ok(
		query(
			$sender, q{SELECT count(*) FROM canopy_summit.job_attempt a JOIN canopy_summit.job j USING (job_id)
			WHERE j.operation = 'post-delivery'}),
		'>', $told,
		'some were sent more than once');
	return;
}
