# Can a value that a caller supplies become anything but that value: another segment, parameter,
# header or request?
use strict;
use warnings;

use CanopyAttempt;
use CanopyTest;
use Encode qw(encode_utf8);
use MIME::Base64 qw(decode_base64);
use Test::More;

my $sandbox = start_sandbox();
my $node = new_node();
my $team = $sandbox->team_id;
my $api = '/api/v1.0.0';

# All characters up to 255 that text can hold, each that is not a letter or digit, and what has hurt
# others.
my @characters = map { chr } 1 .. 255;
my @values = (
	join('', @characters),
	(map { "a${_}b" } grep { /[^A-Za-z0-9]/ && ord() < 128 } @characters),
	'/', '?', '#', '&', '%', "\x7f", '...', '%2e', '%2e%2e', '%2E%2e/', '../..', '../../health', '..%2f..', '..\\..',
	'//',
	'/x', 'x/', '?a=b', '#f', 'a?b#c', '&limit=1', 'a=b&c=d', '%00', '%0d%0a', "x\r\nX-Injected: 1", "\nX-Injected: 1",
	"x HTTP/1.1\r\nHost: other\r\n\r\nGET /injected HTTP/1.1\r\nHost: localhost\r\n\r\n",
	'@other', 'x:y@other', '%20', "\x{2028}", "\x{FF0E}\x{FF0E}\x{FF0F}", "\x{10FFFF}", 'x' x 2000);

my %mapping = (client_secret => $sandbox->client_secret, client_secret_file => undef);
create_canopy_server($node, $sandbox, mapping => \%mapping);
create_canopy_server(
	$node, $sandbox,
	server => 'header_pair',
	options => { auth => 'header_pair' },
	mapping => \%mapping);
create_attempt($node);

subtest 'path and query' => sub {
	my @requests = sent(<<~'SQL', @values);
		SELECT canopy_call('get-carrier',
			jsonb_build_object('carrierId', %1$s, 'products', %1$s, 'public_alias', %1$s))
		SQL

	for my $value (@values)
	{
		my $request = shift @requests;
		my @parts = $request->{path} =~
		  m{^\Q$api\E/carriers/([A-Za-z0-9._~%-]+)\?products=([A-Za-z0-9._~%-]+)&public_alias=([A-Za-z0-9._~%-]+)$};
		is_deeply([ map { s/%([0-9A-F]{2})/chr hex $1/ger } @parts ], [ (encode_utf8($value)) x 3 ], shown($value));
		is($request->{headers}, 'Accept Accept-Encoding Authorization Host User-Agent', 'and no header');
	}
	for my $value ('', '.', '..')
	{
		$sandbox->clear_log;
		is( (attempts($node, qq{SELECT canopy_call('get-pull-by-id', '{"pullId": "$value"}')}))[0]{sqlstate},
			'22023', "\"$value\" is refused");
		is(scalar(my @all = $sandbox->log), 0, 'and not sent');
	}
};

subtest 'the team' => sub {
	for my $value ('../teams/other', 'a/b', 'a?b', 'a#b', 'a%2fb', 'a b', "\x{E9}")
	{
		$node->safe_psql('postgres', 'ALTER SERVER canopy OPTIONS (SET team_id ' . sql_text($value) . ')');
		my ($request) = sent("SELECT canopy_call('get-team')", '');
		my ($id) = $request->{path} =~ m{^\Q$api\E/teams/([A-Za-z0-9._~%-]+)$};
		is($id =~ s/%([0-9A-F]{2})/chr hex $1/ger, encode_utf8($value), shown($value));
	}
};

subtest 'an id in credentials' => sub {
	for my $character (grep { /[\x01-\x1f\x7f]/ } @characters)
	{
		my ($error) = attempts($node, alter_mapping('canopy', 'client_id', "a${character}b"));
		is($error->{message}, 'invalid value for option "client_id": "…"', shown($character));
	}
};
subtest "a secret for server $_" => \&stays_credential, $_ for qw(canopy header_pair);

# A line of a file can hold a carriage return, which no option can.
subtest 'a secret in a file' => sub {
	my $file = CanopyTest::secret_file("secret\rX-Injected: 1");

	$node->safe_psql('postgres', <<~"SQL");
		ALTER USER MAPPING FOR CURRENT_USER SERVER header_pair
		OPTIONS (DROP client_secret, ADD client_secret_file '$file')
		SQL
	$sandbox->clear_log;
	my ($error) = attempts($node, q{SELECT canopy_call('get-team', NULL, NULL, 'header_pair')});
	is($error->{sqlstate}, '22023', 'SQLSTATE');
	is(scalar(my @all = $sandbox->log), 0, 'nothing is sent');
};

# Operations with a header of the caller's are not called synchronously.
subtest 'a header' => sub {
	my @operations = split /\n/, $node->safe_psql('postgres', <<~'END');
		SELECT DISTINCT operation FROM canopy_summit.operation, jsonb_array_elements(parameters) AS parameter
		WHERE provider = 'canopy' AND parameter ->> 'in' = 'header'
		END
	cmp_ok(scalar @operations, '>=', 4, 'operations that have one');
	$sandbox->clear_log;
	for my $operation (@operations)
	{
		my ($error) = attempts(
			$node,
			qq{SELECT canopy_call('$operation', '{"pullId": "x", "pull-jwt": "x\\r\\nX-Injected: 1"}')});
		is($error->{sqlstate}, '0A000', $operation);
	}
	is(scalar(my @all = $sandbox->log), 0, 'nothing is sent');
};

done_testing();

# Calls once for each value, which stands for %1$s; the requests that the sandbox received, exactly one
# for each, with the names of the headers in one string.
sub sent
{
	my ($call, @sent) = @_;

	$sandbox->clear_log;
	attempts($node, map { sprintf $call, sql_text($_) } @sent);
	my @requests = $sandbox->log;
	is(scalar @requests, scalar @sent, 'one request for each value');
	$_->{headers} = join ' ', sort map { $_->[0] } @{ $_->{headers} } for @requests;
	return @requests;
}

# A secret can be anything that fits in a line. It arrives as it is, or nothing is sent.
sub stays_credential
{
	my ($server) = @_;
	$sandbox->clear_log;
	my @results = attempts(
		$node,
		alter_mapping($server, 'client_id', 'id'),
		map {
			alter_mapping($server, 'client_secret', 'none'), alter_mapping($server, 'client_secret', $_),
			  "SELECT canopy_call('get-team', NULL, NULL, '$server')"
		} @values);
	shift @results;
	my @requests = $sandbox->log;

	for my $value (@values)
	{
		my (undef, $set, $call) = splice @results, 0, 3;
		if ($set->{sqlstate} ne '00000')
		{
			is($set->{message}, 'invalid value for option "client_secret": "…"', 'refused: ' . shown($value));
			like($value, qr/[\r\n]/, 'because it is more than a line');
		}
		if ($call->{sqlstate} eq '22023')
		{
			is($call->{message}, 'a header value has a control character', 'not sent: ' . shown($value));
			like($value, qr/[\x01-\x1f\x7f]/, 'because it has one');
			next;
		}
		my $request = shift @requests;
		my %headers = map { lc $_->[0] => $_->[1] } @{ $request->{headers} };
		my $secret = $headers{'x-canopy-client-secret'}
		  // decode_base64($headers{authorization} =~ s/^Basic //r) =~ s/^id://r;
		is($secret, $set->{sqlstate} eq '00000' ? encode_utf8($value) : 'none', 'arrives: ' . shown($value));
		is(scalar @{ $request->{headers} }, exists $headers{authorization} ? 5 : 6, 'in as many headers as ever');
		unlike($secret, qr/[\x01-\x1f\x7f]/, 'and no control character') if !exists $headers{authorization};
	}
	is_deeply(\@requests, [], 'no more requests');
	return;
}

sub alter_mapping
{
	my ($server, $option, $value) = @_;
	return "ALTER USER MAPPING FOR CURRENT_USER SERVER $server OPTIONS (SET $option " . sql_text($value) . ')';
}

# The value as an SQL literal in ASCII.
sub sql_text
{
	my ($value) = @_;
	return q{U&'} . join('', map { sprintf '\\+%06X', ord } split //, $value) . q{'};
}

sub shown
{
	my ($value) = @_;
	return '"' . (substr($value, 0, 60) =~ s/([^ -~])/sprintf '\x{%02X}', ord $1/ger) . '"';
}
