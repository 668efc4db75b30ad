# Does every failure come with the right SQLSTATE, words and a hint that helps, and without anything
# secret or personal, in the error or in the server's log?
use strict;
use warnings;

use CanopyAttempt;
use CanopyShim;
use CanopyTest;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $shim = CanopyShim->new;
my $sandbox = start_sandbox();

# The log shows all it can, except the statements, which hold what their callers wrote.
my $node = new_node(env => $shim->env, conf => <<~'END');
	log_min_messages = debug5
	log_error_verbosity = verbose
	log_statement = none
	log_min_error_statement = panic
	END
my $pull_id = $sandbox->pull_id('user_good');
my $file = PostgreSQL::Test::Utils::tempdir() . '/file';
my $health = 'SELECT canopy_health()';
my $team = "SELECT canopy_call('get-team')";
my $fetch = "SELECT canopy_fetch_pull('$pull_id')";
my @shown;

create_canopy_server($node, $sandbox);
create_attempt($node);

subtest 'answers of the API' => sub {
	my $credentials = 'Check client_id and client_secret of the user mapping, and team_id of the server.';
	my $later = 'Try again later.';

	fails('02000', "SELECT canopy_fetch_pull('canary-no-such-pull')", 'server answered 400 NOT_FOUND');
	fails('02000', q{SELECT canopy_call('get-carrier', '{"carrierId": "canary"}')}, 'server answered 404 NOT_FOUND');

	answered(401, { error => 'UNAUTHORIZED' }, '28000', 'server answered 401 UNAUTHORIZED', $credentials);
	answered(401, 'canary', '28000', 'server answered 401', $credentials);
	answered(
		403, { error => 'SUBSCRIPTION_INACTIVE', message => 'canary' }, '42501',
		'server answered 403 SUBSCRIPTION_INACTIVE', q{The team's subscription with Canopy Connect is not active.});
	answered(
		403, { error => 'FORBIDDEN' }, '42501', 'server answered 403 FORBIDDEN',
		q{The team's plan does not include this operation.});
	answered(
		400, { error => 'INCORRECT_API_KEY_TYPE' }, '28000', 'server answered 400 INCORRECT_API_KEY_TYPE',
		'The key of the user mapping is for the other environment: sandbox and production do not mix.');
	answered(
		400, { error => 'VALIDATION_ERROR', message => 'canary' }, '22023',
		'server answered 400 VALIDATION_ERROR', '');
	answered(404, 'canary', '02000', 'server answered 404', '');
	answered(410, {}, '02000', 'server answered 410', '');
	answered(409, { error => 'ALREADY_EXISTS' }, '22023', 'server answered 409 ALREADY_EXISTS', '');
	answered(408, {}, '08006', 'server answered 408', $later);
	answered(429, { error => 'RATE_LIMITED' }, '53400', 'server answered 429 RATE_LIMITED', $later);
	answered(429, 'canary', '53400', 'server answered 429', 'Try again in 7 seconds.', { 'Retry-After' => 7 });
	answered(429, {}, '53400', 'server answered 429', $later, { 'Retry-After' => 'canary' });
	answered(429, {}, '53400', 'server answered 429', $later, { 'Retry-After' => 'Wed, 21 Oct 2015 07:28:00 GMT' });
	answered(
		500, { error => 'INTERNAL_ERROR', stack => 'canary' }, '08006', 'server answered 500 INTERNAL_ERROR',
		$later);
	answered(502, '<h1>canary</h1>', '08006', 'server answered 502', $later);
	answered(503, {}, '08006', 'server answered 503', 'Try again in 120 seconds.', { 'Retry-After' => 120 });
	answered(
		302, {}, '08P01', 'server answered 302', 'Redirects are not followed; check base_url of the server.',
		{ Location => 'https://canary.test/?canary=1' });
	answered(200, { success => JSON::PP::false(), error => 'NOT_FOUND' }, '02000', 'server answered 200 NOT_FOUND', '');
};

# The API's words are shown only if they cannot hold more than a code.
subtest 'codes that are none' => sub {
	answered(400, { error => $_ }, '22023', 'server answered 400', '')
	  for 'canary jane@canary.test', 'canary!', ['canary'], { code => "canary\n" }, 'canary' x 11, { code => undef },
	  '', 1;
	my $error = answered(
		400, { error => { code => 'a_code', correlation_id => 'id-1' } },
		'22023', 'server answered 400 a_code', '');
	is($error->{detail}, 'Method GET, server "canopy", correlation id id-1.', 'what helps support is shown');
};

subtest 'content that is no JSON' => sub {
	$sandbox->arm(fault => { kind => 'body', body => '{"name": "canary", }' });
	my $error = fails('08P01', $fetch, 'content of the answer is not JSON');
	is($error->{detail}, 'Method GET, server "canopy", status 200, 20 bytes.', 'detail');
};

subtest 'no connection' => sub {
	alter_server("SET base_url 'https://localhost:1'");
	fails('08001', $health, 'could not connect', '');
	alter_server("SET base_url 'https://nowhere.test'");
	fails('08001', $health, 'host name could not be resolved', '');
	alter_server("SET base_url '" . $sandbox->base_url . "', DROP allow_private_addresses");
	fails(
		'42501', $health, 'host has a private address',
		'A superuser can set option allow_private_addresses of the server.');
	alter_server(q{ADD allow_private_addresses 'true', ADD timeout '3s'});
	$sandbox->hold(times => 1);
	fails('08006', $health, 'timed out', 'Raise canopy_summit.http_timeout or option timeout of the server.');
	alter_server('DROP timeout');
};

subtest 'secret files' => sub {
	$sandbox->clear_log;
	$node->safe_psql('postgres', <<~"SQL");
		ALTER USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (SET client_secret_file '$file')
		SQL
	my @open = ("could not open secret file \"$file\": ", 'The file must exist and be readable by the server\'s user.');
	refused_file('58P01', "$open[0]No such file or directory", $open[1]);
	append_to_file($file, "canary\n");
	chmod 0, $file;
	refused_file('42501', "$open[0]Permission denied", $open[1]) if $> != 0;
	for my $mode (0640, 0604, 0660, 0644, 0610)
	{
		chmod $mode, $file;
		refused_file(
			'F0000', "cannot use secret file \"$file\": group or others have access to it",
			'Use mode 0600, or 0640 if root owns the file.');
	}
	chmod 0600, $file;
	fails('28000', $team, 'server answered 401 UNAUTHORIZED');
	for my $content ('', "\n \n\t\r\n")
	{
		open my $out, '>', $file or die "could not write $file: $!";
		print $out $content;
		close $out;
		refused_file('F0000', "cannot use secret file \"$file\": it holds no secret", 'Write one secret a line.');
	}
	append_to_file($file, "canary\n" x 10_000);
	refused_file('F0000', "cannot use secret file \"$file\": it is too large", 'Keep one secret a line, 64 kB in all.');
	unlink $file;
	mkdir $file;
	refused_file('F0000', "cannot use secret file \"$file\": it is not a regular file", 'Name a regular file.');
	is(scalar(my @sent = $sandbox->log), 1, 'nothing was sent but the wrong secret');
};

# What a hint says has to work as it stands, once the gaps are filled.
subtest 'hints that are statements' => sub {
	$node->safe_psql('postgres', 'DROP SERVER canopy CASCADE');
	my $error = refused(
		'42704', $health, 'server "canopy" does not exist',
		q{CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (team_id '…');});
	run_hint($error, $sandbox->team_id);
	alter_server("ADD base_url '"
		  . $sandbox->base_url
		  . "', ADD allow_private_addresses 'true', ADD ca_file '"
		  . $sandbox->ca_file
		  . q{'});

	my $user = $node->safe_psql('postgres', 'SELECT quote_ident(current_user)');
	$error = refused(
		'42704', $fetch, undef,
		"CREATE USER MAPPING FOR $user SERVER canopy OPTIONS (client_id '…', client_secret_file '/…');");
	like($error->{message}, qr/^role "?\Q$user\E"? has no user mapping for server "canopy"$/, 'message');
	run_hint($error, $sandbox->client_id, CanopyTest::secret_file($sandbox->client_secret));
	is((attempts($node, $fetch))[0]{sqlstate}, '00000', 'a pull can be fetched now');
};

# With its query, credentials and answer, each of which is somebody's.
subtest 'a query' => sub {
	my $enrich = q{SELECT canopy_call('get-carriers', '{"public_alias": "1 Canary Street"}')};
	for my $status (400, 401, 404, 500)
	{
		$sandbox->arm(fault => { kind => 'status', status => $status, body => { message => 'canary' } });
		my ($error) = attempts($node, $enrich);
		like($error->{message}, qr/^could not call operation "get-carriers": server answered $status$/, 'message');
		push @shown, $error;
	}
	is(scalar(my @sent = grep { $_->{path} =~ /Canary/ } $sandbox->log), 4, 'the canary was sent');
};

my $secret = $sandbox->client_secret;
my $token = encode_base64($sandbox->client_id . ":$secret", '');
my $log = slurp_file($node->logfile);
my $errors = JSON::PP->new->canonical->pretty->encode(\@shown);
like($log, qr/DEBUG:/, 'the log is as verbose as can be');
# PostgreSQL 18 tells, when it first looks for a function, for which statement: that holds what its caller wrote.
$log =~ s/^.* DEBUG:  00000: find_in_path: trying .*\n(?:.* CONTEXT:  .*\n(?:\t.*\n)*)?//mg;
for my $forbidden ('canary', $secret, $token, 'Authorization', $sandbox->pull($pull_id)->{email} // 'no email')
{
	unlike($errors, qr/\Q$forbidden\E/i, "no \"$forbidden\" in an error");
	unlike($log, qr/\Q$forbidden\E/i, "no \"$forbidden\" in the log");
}

done_testing();

sub alter_server
{
	my ($options) = @_;
	$node->safe_psql('postgres', "ALTER SERVER canopy OPTIONS ($options)");
	return;
}

# Checks the error of a statement; undef stands for any text.
sub refused
{
	my ($sqlstate, $statement, $message, $hint) = @_;
	my ($error) = attempts($node, $statement);

	is($error->{sqlstate}, $sqlstate, $message // 'SQLSTATE') or diag explain $error;
	is($error->{message}, $message, 'message') if defined $message;
	is($error->{hint}, $hint, 'hint') if defined $hint;
	push @shown, $error;
	return $error;
}

# The same for a call whose request was sent.
sub fails
{
	my ($sqlstate, $statement, $words, $hint) = @_;
	my %operation = ($fetch => 'get-pull-by-id', $health => 'get-health', $team => 'get-team');
	my ($operation) = $operation{$statement} // ($statement =~ /carrier/ ? 'get-carrier' : 'get-pull-by-id');

	return refused($sqlstate, $statement, "could not call operation \"$operation\": $words", $hint);
}

sub answered
{
	my ($status, $body, $sqlstate, $words, $hint, $headers) = @_;

	$sandbox->arm(fault => { kind => 'status', status => $status, body => $body, headers => $headers // {} });
	return fails($sqlstate, $fetch, $words, $hint);
}

sub refused_file { my ($sqlstate, @texts) = @_; return refused($sqlstate, $team, @texts) }

# Runs the statement of a hint, its gaps filled.
sub run_hint
{
	my ($error, @values) = @_;
	my $statement = $error->{hint};

	$statement =~ s{/?…}{$_} for @values;
	my ($result) = attempts($node, $statement);
	is($result->{sqlstate}, '00000', 'the hint is a statement that works') or diag explain $result;
	return;
}
