# CanopyTest.pm - what the TAP tests share: a server with the extension, the sandbox, errors as data.
#
# test/run sets CANOPY_TREE to the directory into which it has installed the extension, and runs
# prove in a copy of the checkout. Servers and sandboxes end with the test that started them,
# also when it dies or is interrupted.
package CanopyTest;

use strict;
use warnings;

use CanopyPsql;
use Exporter 'import';
use File::Basename qw(dirname);
use File::Spec ();
use IPC::Run ();
use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  new_node start_sandbox create_canopy_server open_session sqlstate_of wait_until soon_ok SOON scaled test_seed
  in_checkout generated members
);

# Seconds that whatever is to happen at once may take, however busy the machine; and less than the minute
# after which workers look by themselves, so that what nobody woke does not pass.
use constant SOON => 30;

# END blocks run on exit, not on a signal.
$SIG{HUP} = $SIG{INT} = $SIG{TERM} = sub { exit 1 };

# A started server that has the extension. Options: name; conf, more lines for postgresql.conf;
# env, variables for the server alone (LD_PRELOAD); init, options for init(), with force_initdb if
# another cluster's system identifier would do harm; start => 0.
sub new_node
{
	my (%options) = @_;
	my $node = CanopyTest::Node->new($options{name} // 'main');

	$node->{server_env} = $options{env} // {};
	$node->init(%{ $options{init} // {} });
	# What is to wait does so until the test lets it go on, however slow the machine is.
	$node->append_conf(
		'postgresql.conf',
		extension_settings($node) . "timezone = 'UTC'\n"
		  # Its ANALYZE and a DROP EXTENSION, which locks tables after their indexes, can deadlock.
		  . "autovacuum = off\n" . "canopy_summit.http_connect_timeout = 10min\ncanopy_summit.http_timeout = 10min\n");
	$node->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
	$node->start if $options{start} // 1;
	return $node;
}

# The settings with which a server finds the extension in CANOPY_TREE. Before 18 that needs Debian's patch.
sub extension_settings
{
	my ($node) = @_;
	my ($libraries, $share) = map { $ENV{CANOPY_TREE} . $node->config_data($_) } qw(--pkglibdir --sharedir);
	my $extensions =
	  $node->pg_version >= 18
	  ? "extension_control_path = '$share:\$system'"
	  : "extension_destdir = '$ENV{CANOPY_TREE}'";

	return "dynamic_library_path = '$libraries:\$libdir'\n$extensions\n";
}

# The absolute path of a file, whose name is relative to the checkout.
sub in_checkout { my ($file) = @_; return File::Spec->rel2abs(dirname(__FILE__) . "/../../$file") }

# What test/sandbox/generate.py prints.
sub generated
{
	my (@arguments) = @_;
	my ($output, $error);

	IPC::Run::run([ 'python3', in_checkout('test/sandbox/generate.py'), @arguments ], '>', \$output, '2>', \$error)
	  or die "generate.py failed: $error";
	return $output;
}

# Everything that the extension consists of, a definition a line.
sub members
{
	return <<~'SQL';
		SET search_path = '';
		WITH member AS (
			SELECT d.classid, d.objid
			FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'canopy_summit'
			WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'),
		relation AS (SELECT * FROM member JOIN pg_class c ON c.oid = objid WHERE classid = 'pg_class'::regclass)
		SELECT to_json(line) FROM (
			SELECT pg_get_functiondef(objid) FROM member WHERE classid = 'pg_proc'::regclass
			UNION ALL SELECT objid::regclass || pg_get_viewdef(objid) FROM relation WHERE relkind = 'v'
			UNION ALL SELECT concat_ws(' ', objid::regclass, attname, format_type(atttypid, atttypmod), attnotnull,
					attstorage, attcompression, pg_get_expr(adbin, adrelid))
				FROM relation JOIN pg_attribute a ON a.attrelid = objid AND attnum > 0
					LEFT JOIN pg_attrdef f ON f.adrelid = attrelid AND f.adnum = attnum
			UNION ALL SELECT concat_ws(' ', objid::regclass, reloptions, relacl, relreplident) FROM relation
			UNION ALL SELECT concat_ws(' ', objid::regprocedure, proacl)
				FROM member JOIN pg_proc p ON p.oid = objid WHERE classid = 'pg_proc'::regclass
			UNION ALL SELECT pg_get_indexdef(indexrelid) FROM relation JOIN pg_index i ON i.indrelid = objid
			UNION ALL SELECT pg_get_constraintdef(n.oid)
			FROM member JOIN pg_constraint n ON objid IN (n.conrelid, n.contypid)
			UNION ALL SELECT pg_get_triggerdef(t.oid) FROM relation JOIN pg_trigger t ON t.tgrelid = objid
			UNION ALL SELECT concat_ws(' ', pg_describe_object(o.classoid, o.objoid, o.objsubid), o.description)
				FROM member JOIN pg_description o ON o.objoid = objid AND o.classoid = classid
			UNION ALL SELECT pg_describe_object(classid, objid, 0) FROM member
			UNION ALL SELECT r::text FROM summit.minimisation_rule r) AS l(line)
		ORDER BY line COLLATE "C"
		SQL
}

# A running CanopyTest::Sandbox. Options: seed.
sub start_sandbox
{
	my (%options) = @_;
	return CanopyTest::Sandbox->start($options{seed} // 1);
}

# The extension, a server for the sandbox, and a mapping of the current user, whose secret is in a
# file. Options: database; server, its name; options, server options to add, change or (undef) leave
# out; mapping, likewise for the user mapping's; role, whom to map instead.
sub create_canopy_server
{
	my ($node, $sandbox, %options) = @_;
	my $server = $options{server} // 'canopy';
	my $role = $options{role} // 'CURRENT_USER';
	my $server_options = option_list(
		base_url => $sandbox->base_url,
		ca_file => $sandbox->ca_file,
		allow_private_addresses => 'true',
		environment => 'sandbox',
		team_id => $sandbox->team_id,
		%{ $options{options} // {} });
	my $mapping_options = option_list(
		client_id => $sandbox->client_id,
		client_secret_file => secret_file($sandbox->client_secret),
		%{ $options{mapping} // {} });

	$node->safe_psql($options{database} // 'postgres', <<~"END");
		SET client_min_messages = error;
		CREATE EXTENSION IF NOT EXISTS canopy_summit;
		CREATE SERVER $server FOREIGN DATA WRAPPER canopy_api OPTIONS ($server_options);
		CREATE USER MAPPING FOR $role SERVER $server OPTIONS ($mapping_options);
		END
	return;
}

sub option_list
{
	my (%values) = @_;
	return join ', ', map { "$_ " . quoted($values{$_}) }
	  grep { defined $values{$_} } sort keys %values;
}

sub quoted
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

# A new file with the given secrets, one a line, that only the server's user can read.
sub secret_file
{
	my (@secrets) = @_;
	my $path = PostgreSQL::Test::Utils::tempdir('secret') . '/secret';

	append_to_file($path, join("\n", @secrets) . "\n");
	chmod 0600, $path or die "could not change mode of $path: $!";
	return $path;
}

# Runs statements until one fails: (SQLSTATE, message, detail, hint), or () if none did. In scalar
# context the SQLSTATE alone. Options: database, and whatever Cluster's psql() takes.
sub sqlstate_of
{
	my ($node, $sql, %options) = @_;
	my $database = delete $options{database} // 'postgres';
	my $extra = delete $options{extra_params} // [];
	my ($status, $stdout, $stderr) = $node->psql(
		$database, $sql,
		on_error_die => 0,
		on_error_stop => 1,
		%options,
		extra_params => [ @$extra, '-v', 'VERBOSITY=verbose' ]);

	return if $status == 0;
	my ($sqlstate, $message) = $stderr =~ /^(?:.*?: )?(?:ERROR|FATAL|PANIC):  (\w{5}): (.*)$/m
	  or die "psql failed without an error of the server: $stderr";
	return $sqlstate unless wantarray;
	my ($detail) = $stderr =~ /^DETAIL:  (.*)$/m;
	my ($hint) = $stderr =~ /^HINT:  (.*)$/m;
	return ($sqlstate, $message, $detail, $hint);
}

# A session that may stay open for as long as the test likes: each of its queries has the time
# that PostgreSQL's modules give a session as a whole. Options: database; those of background_psql().
sub open_session
{
	my ($node, %options) = @_;
	my $database = delete $options{database} // 'postgres';
	my $session = $node->background_psql($database, %options);

	$session->set_query_timer_restart;
	return $session;
}

# Polls the function for so many seconds; what it returned that is true, or nothing.
sub poll
{
	my ($function, $seconds) = @_;
	my $deadline = time + $seconds;

	while (time < $deadline)
	{
		my $result = $function->();
		return $result if $result;
		sleep 0.02;
	}
	return;
}

# Waits until the function returns something true, and returns that; dies when it takes too long, which
# is never less than what PostgreSQL's modules allow: how soon something comes is for soon_ok().
sub wait_until
{
	my ($what, $function, $seconds) = @_;
	my $default = $PostgreSQL::Test::Utils::timeout_default;
	return poll($function, max($default, $seconds // $default)) || die "timed out waiting until $what";
}

# Tests that the function returns something true within so many seconds, or SOON.
sub soon_ok
{
	my ($what, $function, $seconds) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$seconds = max(SOON, $seconds // SOON);
	return ok(scalar(poll($function, $seconds)), "$what, within $seconds s");
}

# A full count, reduced to what this run asks for; at least 1.
sub scaled
{
	my ($count) = @_;
	my $scaled = int($count * ($ENV{CANOPY_TEST_SCALE} // 0.1) + 0.5);
	return $scaled > 1 ? $scaled : 1;
}

# Seeds rand() with the run's seed, which it returns and prints, so that a failure can be repeated.
sub test_seed
{
	my $seed = $ENV{CANOPY_TEST_SEED} // int(rand(2**30));
	srand $seed;
	diag("CANOPY_TEST_SEED=$seed CANOPY_TEST_SCALE=" . ($ENV{CANOPY_TEST_SCALE} // 0.1));
	return $seed;
}

# PostgreSQL::Test::Cluster whose server gets an environment of its own, that copies test/run's initdb,
# and that keeps a psql.
package CanopyTest::Node;

use parent -norequire, 'PostgreSQL::Test::Cluster';

# As of PostgreSQL 16 the module itself copies INITDB_TEMPLATE.
sub init
{
	my ($self, %params) = @_;
	my $run = \&PostgreSQL::Test::Utils::system_or_bail;
	my $is_copied = !$params{force_initdb} && !$params{extra} && $ENV{INITDB_TEMPLATE};

	no warnings 'redefine';
	local *PostgreSQL::Test::Utils::system_or_bail = sub {
		return $run->($is_copied && $_[0] eq 'initdb' ? ('cp', '-RPp', $ENV{INITDB_TEMPLATE}, $self->data_dir) : @_);
	};
	return $self->SUPER::init(%params);
}

sub start
{
	my ($self, @arguments) = @_;
	local %ENV = (%ENV, %{ $self->{server_env} });
	$self->leave;
	return $self->SUPER::start(@arguments);
}

sub restart
{
	my ($self, @arguments) = @_;
	local %ENV = (%ENV, %{ $self->{server_env} });
	$self->leave;
	return $self->SUPER::restart(@arguments);
}

# A kept session may not have heard of new settings when it gets its next statement.
sub reload
{
	my ($self, @arguments) = @_;
	$self->leave;
	return $self->SUPER::reload(@arguments);
}

sub stop
{
	my ($self, @arguments) = @_;
	$self->leave;
	return $self->SUPER::stop(@arguments);
}

# Ends the psql that is kept, which is a session of the database that was asked last.
sub leave { my ($self) = @_; delete $self->{kept}; return }

# As Cluster's psql(), and so safe_psql(), but most scripts go to one psql that is kept.
sub psql
{
	my ($self, $database, $sql, %params) = @_;
	my $verbosity =
	  join(' ', @{ $params{extra_params} // [] }) =~ /^(?:-v VERBOSITY=(\w+))?$/
	  ? $1 // 'default'
	  : undef;
	my @others = grep { !/^(?:stdout|stderr|on_error_stop|on_error_die|extra_params)$/ } keys %params;

	if (   !defined $verbosity
		|| @others
		|| !($params{on_error_stop} // 1)
		|| !(wantarray || $params{stderr})
		|| !CanopyPsql::is_plain($sql))
	{
		$self->leave;
		return $self->SUPER::psql($database, $sql, %params);
	}
	my $result = $self->kept_psql($database)->run($sql, $verbosity);
	my ($status, $stdout, $stderr) = @$result{qw(status stdout stderr)};
	${ $params{stdout} } = $stdout if $params{stdout};
	${ $params{stderr} } = $stderr if $params{stderr};
	die "error running SQL: '$stderr'\nwhile running psql with sql '$sql'" if $status && $params{on_error_die};
	return wantarray ? ($status, $stdout, $stderr) : $status;
}

# The kept psql, made anew if it is in another database, of another user, or has lost its session.
sub kept_psql
{
	my ($self, $database) = @_;
	local %ENV = $self->_get_env;
	my $key = join "\0", $database, map { "$_=$ENV{$_}" } grep { /^PG/ } sort keys %ENV;
	my $kept = $self->{kept};

	if (!$kept || $kept->{key} ne $key || $kept->{psql}->has_ended || !$kept->{psql}->is_alive)
	{
		$self->leave;
		my $psql = CanopyPsql->new($self->installed_command('psql'), '-d', $self->connstr($database));
		$self->{kept} = $kept = { key => $key, psql => $psql };
	}
	return $kept->{psql};
}

# A sandbox process of our own, and its control service.
package CanopyTest::Sandbox;

use HTTP::Tiny ();
use JSON::PP ();
use POSIX ();

my @running;

sub start
{
	my ($class, $seed) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir('sandbox');
	my $program = CanopyTest::in_checkout('test/sandbox/sandbox.py');
	my $log = "$PostgreSQL::Test::Utils::log_path/sandbox_" . @running . '_' . $$ . '.log';

	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', $log;
		open STDERR, '>&', \*STDOUT;
		# The sandbox ends with this test even if the test is killed.
		exec 'setpriv', '--pdeathsig', 'TERM', '--',
		  'python3', $program, '--dir', $dir, '--seed', $seed
		  or POSIX::_exit(127);
	}
	my $self = bless { dir => $dir, pid => $pid, http => HTTP::Tiny->new(timeout => 60) }, $class;
	push @running, $self;
	CanopyTest::wait_until(
		'the sandbox listens',
		sub {
			-s "$dir/ready.json" || waitpid($pid, POSIX::WNOHANG()) == 0
			  or die "the sandbox ended: " . PostgreSQL::Test::Utils::slurp_file($log);
			return -s "$dir/ready.json";
		});
	$self->{ready} = JSON::PP::decode_json(PostgreSQL::Test::Utils::slurp_file("$dir/ready.json"));
	return $self;
}

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} // return;

	kill TERM => $pid;
	waitpid $pid, 0;
	return;
}

sub base_url { return $_[0]{ready}{base_url} }
sub port { return $_[0]{ready}{port} }
sub download_port { return $_[0]{ready}{download_port} }
sub client_id { return $_[0]{ready}{client_id} }
sub client_secret { return $_[0]{ready}{client_secret} }
sub team_id { return $_[0]{ready}{team_id} }
sub ca_file { return "$_[0]{dir}/ca.pem" }

# The pull of one of the sandbox's users, such as user_good.
sub pull_id
{
	my ($self, $username) = @_;
	return $self->{ready}{pulls}{$username} // die "the sandbox has no user $username";
}

# Arms a fault: fault => { kind => …, … }, and optionally match => { … }, times => N, skip => N; its number.
sub arm { my ($self, %document) = @_; return $self->control(POST => 'fault', \%document)->{number} }

# Arms a stall that lasts until it is released or cleared, so that there is no moment to be caught; its number.
# Options: match; times (until cleared, unless given); at (before_headers), after_bytes.
sub hold
{
	my ($self, %options) = @_;
	my %fault = map { ($_ => $options{$_}) } grep { exists $options{$_} } qw(at after_bytes);
	return $self->arm(
		match => $options{match}, times => $options{times},
		fault => { kind => 'stall', until => 'released', %fault });
}

# How many requests wait at a fault until they are released.
sub waiting
{
	my ($self, $number) = @_;
	return (map { $_->{waiting} } grep { $_->{number} == $number } $self->faults)[0] // 0;
}

# Lets so many of them go on, or all that wait now.
sub release { my ($self, $number, $count) = @_; return $self->control(POST => "release/$number", { count => $count }) }

# The armed faults: { number, fault, left, hits, waiting } each.
sub faults { my ($self) = @_; return @{ $self->control(GET => 'fault')->{faults} } }

# Disarms one fault or all; what waits for a release goes on.
sub clear { my ($self, $number) = @_; return $self->control(DELETE => 'fault' . (defined $number ? "/$number" : '')) }

# The requests received, oldest first; those after a sequence number if one is given.
sub log
{
	my ($self, $after) = @_;
	return @{ $self->control(GET => 'log?after=' . ($after // 0))->{requests} };
}

sub clear_log { my ($self) = @_; return $self->control(DELETE => 'log') }

# The port of a new listener that misbehaves in the way of its kind.
sub listener { my ($self, $kind) = @_; return $self->control(POST => 'listener', { kind => $kind })->{port} }

# What such a listener has received: { kind, port, connections, bytes, base64 }.
sub listener_state { my ($self, $port) = @_; return $self->control(GET => "listener/$port") }

sub close_listener { my ($self, $port) = @_; return $self->control(DELETE => "listener/$port") }

# A pull as the sandbox serves it, as Perl data.
sub pull { my ($self, $pull_id) = @_; return $self->control(GET => "pull/$pull_id") }

# Serves other JSON, given as bytes or as Perl data, as a pull.
sub put_pull { my ($self, $pull_id, $json) = @_; return $self->control(PUT => "pull/$pull_id", $json) }

sub delete_pull { my ($self, $pull_id) = @_; return $self->control(DELETE => "pull/$pull_id") }

# Forgets every change to the sandbox's data.
sub reset_state { my ($self) = @_; return $self->control(DELETE => 'state') }

# One request to the control service; dies unless it succeeds.
sub control
{
	my ($self, $method, $path, $body) = @_;
	my %options;

	$options{content} = ref $body ? JSON::PP::encode_json($body) : $body if defined $body;
	my $response = $self->{http}->request($method, "$self->{ready}{control_url}/$path", \%options);
	$response->{success}
	  or die "the sandbox refused $method $path: $response->{status} $response->{content}";
	return JSON::PP::decode_json($response->{content});
}

END
{
	my $status = $?;
	$_->stop for @running;
	$? = $status;
}

1;
