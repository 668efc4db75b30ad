# Does a waiting call end by a cancel, a timeout, a termination, a lost client or a shutdown, whatever it
# waits for, and leave nothing behind?
#
# What it waits for never comes, so that a call that ends has not waited for it; how soon it does is a
# figure of `make bench`.
use strict;
use warnings;

use CanopyProcess;
use CanopyShim;
use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $shim = CanopyShim->new;
my $sandbox = start_sandbox();

# Few descriptors, so that one that is not given back is missed soon.
my $node = new_node(
	env => $shim->env,
	conf => "max_files_per_process = 100\nclient_connection_check_interval = 100ms");
my %stages = stages();
my @stages = sort keys %stages;

create_canopy_server($node, $sandbox);
create_canopy_server(
	$node, $sandbox,
	server => "at_$_",
	options => { base_url => $stages{$_}{base_url} }) for grep { $stages{$_}{base_url} } @stages;
$node->safe_psql('postgres', <<~'END');
	CREATE TABLE picture AS SELECT jsonb_build_object('logo', jsonb_build_object('name', 'logo.jpg',
		'content_type', 'image/jpeg', 'base64', repeat('AAAA', 1500000))) AS body;
	END

my $admin = open_session($node);
for my $stage (@stages)
{
	subtest "waiting for $stages{$stage}{waits_for}" => sub {
		ends_by_cancel($stage);
		ends_by_termination($stage);
		ends_by_lost_client($stage);
	};
}
$admin->quit;
subtest 'a timeout at every stage' => \&ends_by_timeout;
subtest 'the rest of the server' => \&ends_by_shutdown;
subtest 'many cancels in one session' => \&leaves_nothing;
done_testing();

# Where a call can wait: the statement, and how to see that it waits there.
sub stages
{
	my %port = map { $_ => $sandbox->listener($_) } qw(syn_drop tls_stall slow_send);

	my %at = (
		name => {
			waits_for => 'the name server',
			base_url => 'https://stall.test',
			count => sub { return scalar(my @names = $shim->lookups) }
		},
		connection => {
			waits_for => 'the connection',
			base_url => "https://localhost:$port{syn_drop}",
			reached => \&is_connecting },
		tls => {
			waits_for => 'the TLS handshake',
			base_url => "https://localhost:$port{tls_stall}",
			count => sub { return $sandbox->listener_state($port{tls_stall})->{connections} }
		},
		send => {
			waits_for => 'the server to take the request',
			base_url => "https://localhost:$port{slow_send}",
			call => q{canopy_call('put-widgetId-logo', '{"widgetId": "w"}', body, 'at_send') FROM picture},
			reached => sub { return unsent_bytes($_[0]) > 100_000 }
		},
		map { ($_ => stalled_answer($_)) } qw(before_headers header body));
	for my $stage (keys %at)
	{
		$at{$stage}{call} //= "canopy_call('get-carrier', '{\"carrierId\": \"1\"}', NULL, 'at_$stage')";
	}
	$shim->hosts('stall.test' => 'stall');
	return %at;
}

# The sandbox's own stalls.
sub stalled_answer
{
	my ($at) = @_;

	$sandbox->hold(match => { path => "stall-$at" }, at => $at, after_bytes => 20);
	return {
		waits_for => "the answer, stalled at $at",
		call => "canopy_call('get-carrier', '{\"carrierId\": \"stall-$at\"}')",
		count => sub {
			return scalar grep { $_->{path} =~ /stall-$at/ } $sandbox->log;
		}
	};
}

# A session whose call waits at the stage, and its backend.
sub waiting_session
{
	my ($stage) = @_;
	my $session = open_session($node, on_error_stop => 0);
	my $pid = $session->query("\\set VERBOSITY verbose\nSELECT pg_backend_pid()");

	start_call($session, $pid, $stage);
	is($session->{stderr}, '', 'the call waits');
	return ($session, $pid);
}

# Sends the stage's call and waits until it waits there.
sub start_call
{
	my ($session, $pid, $stage) = @_;
	my $count = $stages{$stage}{count};
	my $old_count = $count ? $count->() : 0;
	my $reached = $stages{$stage}{reached} // sub { return $count->() > $old_count };

	$session->{stderr} = '';
	$session->{stdin} .= "SELECT $stages{$stage}{call};\n";
	wait_until(
		"a call waits at $stage",
		sub {
			$session->{run}->pump_nb;
			die "the call did not wait: $session->{stderr}" if $session->{stderr} =~ /ERROR/;
			return $reached->($pid);
		});
	return;
}

# Waits until the session's call has ended; its SQLSTATE.
sub ended
{
	my ($session) = @_;

	return wait_until(
		'the call ends',
		sub {
			eval { $session->{run}->pump_nb };
			return $session->{stderr} =~ /\b(?:ERROR|FATAL):  (\w{5}):/ ? $1 : undef;
		});
}

sub is_usable
{
	my ($session) = @_;

	$session->{stderr} = '';
	is($session->query('SELECT canopy_health()'), 't', 'the session can call again');
	$session->quit;
	return;
}

sub ends_by_cancel
{
	my ($session, $pid) = waiting_session(@_);

	$admin->query("SELECT pg_cancel_backend($pid)");
	is(ended($session), '57014', 'SQLSTATE after a cancel');
	is_usable($session);
	return;
}

# A call whose timeout has come before it was where it is to wait is made again with a longer one.
sub ends_by_timeout
{
	for my $stage (@stages)
	{
		my $seconds = 0.5;
		my ($session, $pid);
		wait_until(
			"a call waits at $stage",
			sub {
				$seconds *= 2;
				$session = open_session($node, on_error_stop => 0);
				$pid = $session->query(
					"\\set VERBOSITY verbose\nSET statement_timeout = '$seconds s'; SELECT pg_backend_pid()");
				return 1 if eval { start_call($session, $pid, $stage); 1 };
				$session->quit;
				return 0;
			});
		is(ended($session), '57014', "SQLSTATE after statement_timeout, waiting for $stages{$stage}{waits_for}");
		is_usable($session);
	}
	return;
}

sub ends_by_termination
{
	my ($session, $pid) = waiting_session(@_);

	$admin->query("SELECT pg_terminate_backend($pid)");
	is(ended($session), '57P01', 'SQLSTATE after a termination');
	eval { $session->quit };
	return;
}

sub ends_by_lost_client
{
	my ($session, $pid) = waiting_session(@_);

	$session->{run}->kill_kill;
	soon_ok('the backend of a lost client ends', sub { return !is_alive($pid) });
	return;
}

# With a call waiting at every stage: others are not held up, and a fast shutdown is not either.
sub ends_by_shutdown
{
	my @waiting = map { [ waiting_session($_) ] } @stages;

	is(scalar sqlstate_of($node, "$_ DATABASE dropped"), undef, "$_ DATABASE does not wait for them")
	  for qw(CREATE DROP);
	kill INT => $node->{_pid} or die "could not signal the server: $!";
	is(ended($_->[0]), '57P01', 'SQLSTATE after a fast shutdown') for @waiting;
	eval { $_->[0]->quit } for @waiting;
	wait_until('the server has stopped', sub { return !-e $node->data_dir . '/postmaster.pid' });
	$node->_update_pid(0);
	$node->start;
	return;
}

# Cancels at all stages in turn, in one session, each as soon as the call waits there.
sub leaves_nothing
{
	my $rounds = int(scaled(1000) / @stages);
	my $session = open_session($node, on_error_stop => 0);
	my $pid = $session->query("\\set VERBOSITY verbose\nSELECT pg_backend_pid()");
	my $cancels = 0;
	my ($descriptors, $memory);

	# The first rounds make what the process keeps.
	for my $round (-2 .. $rounds)
	{
		($descriptors, $memory) = (descriptors($pid), resident_kb($pid)) if $round == 1;
		for my $stage (@stages)
		{
			# What was not sent stays in the kernel for a while, so not too often.
			next if $stage eq 'send' && $round > 10;
			start_call($session, $pid, $stage);
			kill INT => $pid or die "could not signal the backend: $!";
			my $sqlstate = ended($session);
			$cancels++ if $round > 0 && $sqlstate eq '57014';
		}
		$sandbox->clear_log;
		end_lookups($pid);
	}
	cmp_ok($cancels, '>=', $rounds * (@stages - 1), 'calls that were cancelled');
	cmp_ok(descriptors($pid), '<=', $descriptors, 'descriptors in use');
	cmp_ok(resident_kb($pid) - $memory, '<', 4096, 'kilobytes of memory in use, besides those before');
	is_usable($session);
	return;
}

# A look-up ends only when the resolver answers; until then it keeps its thread.
sub end_lookups
{
	my ($pid) = @_;

	$shim->hosts('stall.test' => 'nowhere');
	wait_until('threads that look up names have ended', sub { return threads($pid) == 1 });
	$shim->hosts('stall.test' => 'stall');
	return;
}
