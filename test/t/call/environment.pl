# Does the environment of the server decide where requests go, what is trusted, which credentials are
# sent, or where keys are written?
use strict;
use warnings;

use CanopyAttempt;
use CanopyTest;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox();
my $trap = $sandbox->listener('trap');
my $home = PostgreSQL::Test::Utils::tempdir();
my $key_log = "$home/keys";
my $proxy = "http://localhost:$trap";

append_to_file("$home/.netrc", "default login intruder password intruder\n");
append_to_file("$home/.curlrc", "proxy = $proxy\ninsecure\n");
chmod 0600, "$home/.netrc" or die "could not change mode: $!";

my $node = new_node(
	env => {
		(map { $_ => $proxy, uc $_ => $proxy } qw(http_proxy https_proxy all_proxy)),
		NO_PROXY => '',
		no_proxy => '',
		HOME => $home,
		CURL_HOME => $home,
		NETRC => "$home/.netrc",
		SSLKEYLOGFILE => $key_log,
		CURL_CA_BUNDLE => $sandbox->ca_file,
		SSL_CERT_FILE => $sandbox->ca_file,
		SSL_CERT_DIR => $home });
my $environ = slurp_file("/proc/$node->{_pid}/environ");
like($environ, qr/\b$_=/, "the server has $_") for qw(https_proxy ALL_PROXY NETRC SSLKEYLOGFILE SSL_CERT_FILE);

create_canopy_server($node, $sandbox);
create_canopy_server($node, $sandbox, server => 'distrustful', options => { ca_file => undef });
create_attempt($node);
my $pull_id = $sandbox->pull_id('user_good');
my ($good, $distrusted, $public) = attempts(
	$node,
	"SELECT canopy_fetch_pull('$pull_id')",
	"SELECT canopy_fetch_pull('$pull_id', server => 'distrustful')",
	'SELECT canopy_health()');

is($good->{sqlstate}, '00000', 'a pull is fetched') or diag explain $good;
is($distrusted->{sqlstate}, '08004', 'no certificate is trusted for the environment\'s sake');
is($public->{sqlstate}, '00000', 'an operation without credentials is called');
my @requests = $sandbox->log;
is(scalar @requests, 2, 'both came to the API');
is( (map { $_->[1] } grep { lc $_->[0] eq 'authorization' } @{ $requests[0]{headers} })[0],
	'Basic ' . encode_base64($sandbox->client_id . ':' . $sandbox->client_secret, ''),
	'with the credentials of the user mapping');
is($requests[1]{auth}, 'none', 'or with none');
is($sandbox->listener_state($trap)->{connections}, 0, 'connections to the proxy');
ok(!-e $key_log, 'no keys are written');

done_testing();
