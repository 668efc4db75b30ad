# Does check_server() say of each thing that can be wrong what it is, and what to do?
use strict;
use warnings;

use CanopyReceiver;
use CanopyShim;
use CanopyTest;
use CanopyUpload;
use JSON::PP ();
use List::Util qw(first);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $shim = CanopyShim->new;
my $sandbox = start_sandbox();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $node = new_node(
	env => $shim->env,
	init => { allows_streaming => 1 },
	conf => "shared_preload_libraries = 'canopy_summit'\ncanopy_summit.receiver_port = $port\nlog_statement = none");
my $files = PostgreSQL::Test::Utils::tempdir('check');
my @secrets = ($sandbox->client_secret, $sandbox->{ready}{summit_client_secret}, 'the webhook secret', 'wrong secret');
my $told = ''; # all that was told to anybody
my $servers = 0;

create_canopy_server($node, $sandbox, mapping => { webhook_secret => 'the webhook secret' });
create_summit_server($node, $sandbox, mapping => { webhook_secret => 'the webhook secret' });
wait_until('the receiver listens', sub { listens($port) });
wait_until('and says so', sub { wrong(rows('canopy')) eq '' });

subtest 'before a webhook has come' => \&untried;
subtest 'all is well' => \&well;
subtest 'who may use which server' => \&usage;
subtest 'options, mappings and files' => \&options;
subtest 'the network' => \&network;
subtest 'what the API answers' => \&answers;
subtest 'the clock' => \&clock;
subtest 'webhooks' => \&webhooks;
subtest 'the background' => \&background;
subtest 'without shared_preload_libraries' => \&not_preloaded;
subtest 'on a standby' => \&standby;
subtest 'whatever it waits for' => \&canceled;
ok(!(grep { index($told, $_) >= 0 } @secrets), 'no secret is told');
my $log = slurp_file($node->logfile);
ok(!(grep { index($log, $_) >= 0 } @secrets), 'nor logged, not even the hints are') or diag $log;
done_testing();

# The rows, as { check, ok, hint }. Options: node, database, role.
sub rows
{
	my ($server, %options) = @_;
	my $role = $options{role} ? "SET ROLE $options{role}; " : '';
	my $json = ($options{node} // $node)->safe_psql($options{database} // 'postgres', <<~"SQL");
		${role}SELECT coalesce(json_agg(c), '[]') FROM canopy_summit.check_server('$server') c
		SQL
	$told .= $json;
	return @{ JSON::PP->new->decode($json) };
}

sub names_where
{
	my ($condition, @rows) = @_;
	return join ', ', map { $_->{check} } grep { $condition->($_) } @rows;
}

# The names of those that are false, and of those that an earlier one has kept from being tested.
sub wrong
{
	return names_where(sub { defined $_[0]{ok} && !$_[0]{ok} }, @_);
}

sub untested
{
	return names_where(sub { !defined $_[0]{ok} && $_[0]{hint} =~ /^not tested: ".*" comes first$/ }, @_);
}

sub hint_of
{
	my ($check, @rows) = @_;
	return (first { $_->{check} eq $check } @rows)->{hint};
}

# Tests that one check fails, with this hint, and that those that follow from it were not made.
sub fails
{
	my ($name, $check, $hint, $untested, $server, %options) = @_;
	my @rows = rows($server, %options);

	is(wrong(@rows), $check, "$name: \"$check\" fails") or diag explain \@rows;
	like(hint_of($check, @rows), $hint, "$name: the hint") if $check;
	is(untested(@rows), $untested, "$name: what needs it is not tested");
	return;
}

# The name of a new server, like that of create_canopy_server() or create_summit_server() but for options.
sub server_with
{
	my ($make, %options) = @_;
	my $name = 'server_' . ++$servers;
	$options{mapping} = { webhook_secret => 'the webhook secret', %{ $options{mapping} // {} } };
	$make->($node, $sandbox, server => $name, %options);
	return $name;
}

sub canopy_with { return server_with(\&create_canopy_server, options => {@_}) }
sub canopy_mapping { return server_with(\&create_canopy_server, mapping => {@_}) }
sub summit_with { return server_with(\&create_summit_server, options => {@_}) }

sub untried
{
	for my $server (qw(canopy summit))
	{
		my @rows = rows($server);
		is(names_where(sub { !$_[0]{ok} }, @rows), 'newest webhook', "$server: none has come");
		my $provider = ucfirst $server;
		like(
			hint_of('newest webhook', @rows),
			qr{^none has come: have $provider send them to https://…/webhooks/$server,},
			"$server: and how to have them sent");
	}
	return;
}

sub well
{
	my $canopy = canopy_body('p1', event_type => 'AUTH_STATUS'); # which has nothing fetched
	my $summit = summit_body('d1');
	is( status_of_request($port, webhook('canopy', $canopy, signature($canopy, 'the webhook secret'))),
		200, 'a webhook of Canopy');
	is( status_of_request($port, webhook('summit', $summit, signature($summit, 'the webhook secret', 'summit'))),
		200, 'and one of Summit');
	$sandbox->clear_log;
	my @canopy = rows('canopy');
	is_deeply(
		[ map { $_->{check} } @canopy ],
		[   'server', 'base_url', 'team_id', 'user mapping', 'client secret', 'ca_file', 'host name', 'connection',
			'credentials', 'clock', 'worker', 'receiver', 'webhook secret', 'newest webhook' ],
		'Canopy: all checks are made');
	is(names_where(sub { !$_[0]{ok} }, @canopy), '', 'and all are well') or diag explain \@canopy;
	like(hint_of('newest webhook', @canopy), qr/^came at \d{4}-/, 'when the newest webhook came');
	my @requests = $sandbox->log;
	is_deeply(
		[ map { "$_->{method} " . ($_->{operation} // '') } @requests ],
		[ 'GET ', 'GET get-pulls' ], 'two requests that only read');
	is($requests[0]{auth}, 'none', 'the first has no credential');
	unlike($requests[1]{path}, qr/account/, 'and the second asks for nobody\'s data');

	$sandbox->clear_log;
	my @summit = rows('summit');
	is_deeply(
		[ map { $_->{check} } @summit ],
		[   'server', 'base_url', 'auth_url', 'user mapping', 'client secret', 'ca_file', 'host name', 'connection',
			'credentials', 'clock', 'worker', 'receiver', 'webhook secret', 'newest webhook' ],
		'Summit: all checks are made');
	is(names_where(sub { !$_[0]{ok} }, @summit), '', 'and all are well') or diag explain \@summit;
	is_deeply(
		[ map { "$_->{method} " . ($_->{operation} // '') } $sandbox->log ],
		[ 'GET ', 'GET ', 'POST create-token' ], 'two requests without credentials, and one for a token');
	is($node->safe_psql('postgres', <<~'SQL'), 'f', 'nothing is written');
		BEGIN;
		SELECT pg_current_xact_id_if_assigned() IS NOT NULL FROM
			(SELECT count(*) FROM unnest('{canopy,summit}'::name[]) s, canopy_summit.check_server(s) OFFSET 0) c;
		COMMIT
		SQL
	my $system = canopy_with(ca_file => undef);
	like(hint_of('ca_file', rows($system)), qr/^not set: the system's CAs are trusted$/, 'without ca_file');
	return;
}

sub usage
{
	my $all =
		'base_url, user mapping, client secret, ca_file, host name, connection, credentials, clock, webhook secret,'
	  . ' newest webhook';

	is(scalar sqlstate_of($node, 'SELECT canopy_summit.check_server(NULL)'), '22004', 'no server is an error');
	fails(
		'no such server', 'server', qr/^server "missing" does not exist\. CREATE SERVER missing FOREIGN DATA WRAPPER/,
		$all, 'missing');
	$node->safe_psql('postgres', <<~'SQL');
		CREATE FOREIGN DATA WRAPPER other;
		CREATE SERVER others FOREIGN DATA WRAPPER other;
		CREATE ROLE app LOGIN;
		CREATE ROLE watcher LOGIN;
		SELECT canopy_summit.grant_access('app', 'fetcher'), canopy_summit.grant_access('watcher', 'operator');
		SQL
	fails(
		'another wrapper\'s server', 'server', qr/^server "others" is not a server of foreign-data wrapper/, $all,
		'others');
	fails(
		'no right', 'server', qr/^permission denied .*\. GRANT USAGE ON FOREIGN SERVER canopy TO app;$/,
		$all, 'canopy', role => 'app');
	$node->safe_psql('postgres', 'GRANT USAGE ON FOREIGN SERVER canopy TO app, watcher');
	fails(
		'another role without mapping',
		'user mapping',
		qr/^role "app" has no user mapping for .*\. CREATE USER MAPPING FOR app SERVER canopy OPTIONS \(.*\);$/,
		'client secret, credentials', 'canopy', role => 'app');
	fails(
		'an operator without mapping', 'user mapping', qr/CREATE USER MAPPING FOR watcher/,
		'client secret, credentials', 'canopy', role => 'watcher');
	my $public = server_with(\&create_canopy_server, role => 'PUBLIC');
	$node->safe_psql('postgres', "GRANT USAGE ON FOREIGN SERVER $public TO app");
	is(wrong(rows($public, role => 'app')), '', 'a mapping of PUBLIC does');
	$node->safe_psql('postgres', 'CREATE ROLE nobody_special');
	is( scalar sqlstate_of($node, q{SET ROLE nobody_special; SELECT canopy_summit.check_server('canopy')}), '42501',
		'whoever has no level may not ask');
	return;
}

sub options
{
	my %file = map { $_ => "$files/$_" } qw(open empty);
	for my $path (values %file)
	{
		append_to_file($path, $path eq $file{empty} ? '' : $sandbox->client_secret);
		chmod 0600, $path;
	}
	chmod 0644, $file{open};

	fails(
		'no team_id', 'team_id', qr/^server "\w+" has no team_id\. ALTER SERVER \w+ OPTIONS \(ADD team_id '…'\);$/,
		'credentials', canopy_with(team_id => undef));
	fails(
		'no base_url', 'base_url', qr/^server "\w+" has no base_url\. ALTER SERVER \w+ OPTIONS \(ADD base_url /,
		'host name, connection, credentials, clock', summit_with(base_url => undef));
	fails(
		'no auth_url', 'auth_url', qr/^server "\w+" has no auth_url\. ALTER SERVER \w+ OPTIONS \(ADD auth_url /,
		'host name, connection, credentials, clock', summit_with(auth_url => undef));
	fails(
		'no client_id', 'client secret',
		qr/has no client_id\. ALTER USER MAPPING FOR \w+ SERVER \w+ OPTIONS \(ADD client_id '…'\);$/,
		'credentials', canopy_mapping(client_id => undef));
	fails(
		'no secret', 'client secret', qr/has no client_secret_file\. ALTER USER MAPPING FOR/,
		'credentials', canopy_mapping(client_secret_file => undef));
	fails(
		'a missing file', 'client secret',
		qr{^could not open secret file "$files/none": No such file or directory\. The file must exist and be readable},
		'credentials', canopy_mapping(client_secret_file => "$files/none"));
	fails(
		'an open file', 'client secret',
		qr{^cannot use secret file "$file{open}": group or others have access to it\. Use mode 0600, or 0640 if root},
		'credentials', canopy_mapping(client_secret_file => $file{open}));
	fails(
		'an empty file', 'client secret', qr{^cannot use secret file "$file{empty}": it holds no secret\. Write one},
		'credentials', canopy_mapping(client_secret_file => $file{empty}));
	my $needs_ca = 'host name, connection, credentials, clock';
	fails(
		'a missing ca_file', 'ca_file',
		qr{^could not read ca_file "$files/none\.pem": No such file.*\. The file must exist},
		$needs_ca, canopy_with(ca_file => "$files/none.pem"));
	fails(
		'a ca_file without certificate', 'ca_file',
		qr{^cannot use ca_file "$file{empty}": it holds no certificate\. Use},
		$needs_ca, canopy_with(ca_file => $file{empty}));
	return;
}

sub network
{
	my $after_host = 'connection, credentials, clock';
	my $after_tls = 'credentials, clock';
	my $closed = PostgreSQL::Test::Cluster::get_free_port();
	my $name = canopy_with(base_url => 'https://nobody.test/api');

	fails(
		'no such name', 'host name',
		qr{^nobody\.test of base_url: host name could not be resolved: .* or ALTER SERVER $name OPTIONS \(SET base_url},
		$after_host, $name);
	fails(
		'no such name of auth_url', 'host name', qr{^nobody\.test of auth_url: .*\(SET auth_url},
		$after_host, summit_with(auth_url => 'https://nobody.test'));
	fails(
		'nobody listens', 'connection', qr{^localhost of base_url: could not connect: .*\. Let this machine's firewall},
		$after_tls, canopy_with(base_url => "https://localhost:$closed"));
	fails(
		'nobody listens at auth_url', 'connection', qr{^localhost of auth_url: could not connect: },
		$after_tls, summit_with(auth_url => "https://localhost:$closed"));
	fails(
		'a private address', 'connection',
		qr{^localhost of base_url: host has a private address.*: ALTER SERVER .*\(ADD allow_private_addresses},
		$after_tls, canopy_with(allow_private_addresses => undef));
	fails(
		'an unknown CA', 'connection',
		qr{^localhost of base_url: TLS connection could not be trusted: .*: ALTER SERVER .*\(ADD ca_file '/},
		$after_tls, canopy_with(ca_file => undef));
	for my $kind (qw(cert_wrong_host cert_expired plaintext truncated_tls))
	{
		my $listener = $sandbox->listener($kind);
		fails(
			$kind, 'connection', qr/TLS connection could not be trusted/,
			$after_tls, canopy_with(base_url => "https://localhost:$listener"));
		$sandbox->close_listener($listener);
	}
	my $deaf = $sandbox->listener('tls_stall');
	fails(
		'a connection that takes too long', 'connection', qr/^localhost of base_url: timed out/,
		$after_tls, canopy_with(base_url => "https://localhost:$deaf", timeout => '500ms'));
	$shim->hosts('stall.test' => 'stall');
	fails(
		'a name server that takes too long', 'host name', qr/^stall\.test of base_url: timed out/,
		$after_host, canopy_with(base_url => 'https://stall.test', timeout => '500ms'));
	$shim->hosts();
	return;
}

sub answers
{
	my $wrong = CanopyTest::secret_file('wrong secret');
	my $check =
	  qr/server answered 401 UNAUTHORIZED\. Check client_id and client_secret of the user mapping, and team_id/;
	my $pulls = { path => '/pulls' };

	fails('a wrong secret', 'credentials', $check, '', canopy_mapping(client_secret_file => $wrong));
	fails('a wrong client_id', 'credentials', $check, '', canopy_mapping(client_id => 'nobody'));
	fails('a wrong team_id', 'credentials', $check, '', canopy_with(team_id => 'other'));
	fails(
		'a wrong secret for Summit', 'credentials', qr/server answered 401 invalid_client\. Check client_id/,
		'', server_with(\&create_summit_server, mapping => { client_secret_file => $wrong }));
	my @cases = (
		[   'a key of the other environment', qr/INCORRECT_API_KEY_TYPE\. The key .* is for the other environment/,
			{ kind => 'status', status => 400, body => '{"error": "INCORRECT_API_KEY_TYPE"}' } ],
		[   'no subscription', qr/SUBSCRIPTION_INACTIVE\. The team's subscription/,
			{ kind => 'status', status => 403, body => '{"error": "SUBSCRIPTION_INACTIVE"}' } ],
		[   'too many requests', qr/server answered 429.*\. Try again in 7 seconds/,
			{ kind => 'status', status => 429, retry_after => 7 } ],
		[ 'an error', qr/server answered 500/, { kind => 'status', status => 500 } ],
		[ 'a page', qr/content of the answer is not JSON/, { kind => 'body', body => '<html>Log in</html>' } ],
		[   'a redirect', qr/server answered 302.*check base_url/, { kind => 'redirect', location => 'https://x.test/' }
		],
		[ 'an answer that is cut off', qr/connection was lost/, { kind => 'reset', after_bytes => 20 } ]);
	for my $case (@cases)
	{
		my ($name, $hint, $fault) = @$case;
		$sandbox->arm(match => $pulls, fault => $fault);
		fails($name, 'credentials', $hint, '', 'canopy');
	}
	$sandbox->arm(
		match => { listener => 'summit_auth' }, skip => 1,
		fault => { kind => 'garble', without => ['access_token'] });
	fails('an answer without token', 'credentials', qr/without a usable access_token/, '', 'summit');
	is(wrong(rows('canopy')), '', 'afterwards all is well');
	is(wrong(rows('summit')), '', 'with Summit, too');
	return;
}

sub clock
{
	for my $case ([ 600, 'behind', 'new' ], [ -600, 'ahead of', 'old' ])
	{
		my ($date, $where, $look) = @$case;
		my $number = $sandbox->arm(times => undef, fault => { kind => 'garble', date => $date });
		fails(
			"an API whose clock is $date s off", 'clock',
			qr/^this machine's clock is (?:9|10) minutes $where the API's: .* look too $look\. .*timedatectl/,
			'', $_) for qw(canopy summit);
		$sandbox->clear($number);
	}
	for my $date (-60, 60)
	{
		my $number = $sandbox->arm(times => undef, fault => { kind => 'garble', date => $date });
		is(wrong(rows('canopy')), '', "$date s are no matter");
		$sandbox->clear($number);
	}
	my $number = $sandbox->arm(times => undef, fault => { kind => 'garble', headers => { Date => 'yesterday' } });
	my @rows = rows('canopy');
	is(wrong(@rows), '', 'a Date that is none');
	is(hint_of('clock', @rows), 'not tested: the answer has no Date', 'is not tested');
	$sandbox->clear($number);
	my $refused = canopy_with(team_id => 'other');
	$number = $sandbox->arm(times => undef, fault => { kind => 'garble', date => 600 });
	is(wrong(rows($refused)), 'credentials, clock', 'an answer that refuses has a Date, too');
	$sandbox->clear($number);
	return;
}

sub webhooks
{
	my $bare = canopy_mapping(webhook_secret => undef);
	fails(
		'no secret, where there is a receiver', 'webhook secret',
		qr/^role \w+ has no webhook_secret for .*\. ALTER USER MAPPING FOR .* $bare OPTIONS \(ADD webhook_secret/,
		'', $bare);
	my $file = canopy_mapping(webhook_secret => undef, webhook_secret_file => "$files/webhooks");
	fails('a missing file', 'webhook secret', qr{^could not open secret file "$files/webhooks"}, '', $file);
	$node->safe_psql('postgres', "GRANT USAGE ON FOREIGN SERVER $file TO app; "
		  . "CREATE USER MAPPING FOR app SERVER $file OPTIONS (client_id 'x', client_secret 'x')");
	my @rows = rows($file, role => 'app');
	is(wrong(@rows), 'credentials, webhook secret', 'of another role: fails as well');
	like(
		hint_of('webhook secret', @rows),
		qr/^the webhook_secret of role \w+ cannot be used\. SELECT .* canopy_summit\.check_server\('$file'\); as that/,
		'and names no file');
	my $role = canopy_with(webhook_role => 'nobody_at_all');
	fails('a role that is gone', 'webhook secret', qr/OPTIONS \(SET webhook_role '…'\);$/, '', $role);
	$node->safe_psql('postgres', "ALTER SERVER $role OPTIONS (SET webhook_role 'app'); "
		  . "CREATE USER MAPPING FOR app SERVER $role OPTIONS (webhook_secret 'the webhook secret')");
	is(wrong(rows($role)), '', 'that of webhook_role counts');
	$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
	create_canopy_server($node, $sandbox, database => 'elsewhere');
	@rows = rows('canopy', database => 'elsewhere');
	is(wrong(@rows), '', 'in a database without receiver no secret is not wrong');
	like(hint_of('webhook secret', @rows), qr/^to receive webhooks: ALTER USER MAPPING/, 'but what to do is said');
	like(hint_of('receiver', @rows), qr/^not used: canopy_summit\.receiver_database is "postgres"$/, 'and where it is');
	$node->leave;
	return;
}

# Changes a setting and waits until a session sees it, and the launcher has looked.
sub set
{
	my ($name, $value) = @_;
	$node->safe_psql('postgres', 'ALTER SYSTEM ' . (defined $value ? "SET $name = $value" : "RESET $name"));
	$node->reload;
	return;
}

sub background
{
	set('canopy_summit.databases', q{'elsewhere'});
	wait_until(
		'the setting holds',
		sub { $node->safe_psql('postgres', 'SHOW canopy_summit.databases') eq 'elsewhere' });
	fails(
		'a database that is left out', 'worker',
		qr/^setting canopy_summit\.databases leaves this database out\. Add postgres/,
		'', 'canopy');
	set('canopy_summit.databases');
	wait_until('the setting is gone', sub { $node->safe_psql('postgres', 'SHOW canopy_summit.databases') eq '' });
	wait_until('all is well again', sub { wrong(rows('canopy')) eq '' });
	# A port that somebody else has.
	my $taken = $sandbox->listener('trap');
	set('canopy_summit.receiver_port', $taken);
	wait_until('the receiver is gone', sub { wrong(rows('canopy')) eq 'receiver' });
	fails(
		'a receiver that cannot listen', 'receiver', qr/^the receiver does not run\..*"canopy_summit receiver"/, '',
		'canopy');
	set('canopy_summit.receiver_port', $port);
	wait_until('it is back', sub { wrong(rows('canopy')) eq '' });
	return;
}

sub not_preloaded
{
	my $plain = new_node(name => 'plain', env => $shim->env);
	create_canopy_server($plain, $sandbox);
	my @rows = rows('canopy', node => $plain);
	is(wrong(@rows), 'worker', 'no worker');
	like(
		hint_of('worker', @rows),
		qr/^canopy_summit is not in shared_preload_libraries: jobs wait\. Add it, .*ALTER SYSTEM SET shared_preload/,
		'and what to do');
	is(hint_of('receiver', @rows), 'not used: canopy_summit.receiver_port is not set', 'no receiver');
	is(untested(@rows), '', 'and all else is tested');
	$plain->append_conf('postgresql.conf', "canopy_summit.receiver_port = $port");
	$plain->reload;
	wait_until('the setting holds', sub { $plain->safe_psql('postgres', 'SHOW canopy_summit.receiver_port') eq $port });
	is( wrong(rows('canopy', node => $plain)), 'worker, receiver, webhook secret',
		'a receiver that is wanted does not run');
	return;
}

sub standby
{
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$node->backup('copy');
	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	{
		local %ENV = (%ENV, %{ $shim->env });
		$standby->start;
	}
	$node->wait_for_catchup($standby);
	my @rows = rows('canopy', node => $standby);
	is(wrong(@rows), '', 'nothing is wrong') or diag explain \@rows;
	is(names_where(sub { !defined $_[0]{ok} }, @rows), 'worker, receiver', 'what a standby does not do is not tested');
	$standby->stop;
	return;
}

sub canceled
{
	my %port = map { $_ => $sandbox->listener($_) } qw(syn_drop tls_stall);
	my %server = (
		'the name server' => canopy_with(base_url => 'https://stall.test'),
		'the connection' => canopy_with(base_url => "https://localhost:$port{syn_drop}"),
		'the TLS handshake' => canopy_with(base_url => "https://localhost:$port{tls_stall}"),
		'the answer' => 'canopy',
		'the token' => 'summit');

	$shim->hosts('stall.test' => 'stall');
	$sandbox->hold(match => { path => '/pulls' });
	$sandbox->hold(match => { path => '/oauth2/token' });
	for my $stage (sort keys %server)
	{
		is( scalar sqlstate_of(
				$node,
				"SET statement_timeout = '1s'; SELECT canopy_summit.check_server('$server{$stage}')"),
			'57014',
			"waiting for $stage ends");
	}
	$shim->hosts();
	$sandbox->clear;
	return;
}
