# Is a request sent only to a server whose TLS and certificate can be trusted?
use strict;
use warnings;

use CanopyAttempt;
use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox();
my $node = new_node();
my $call = "SELECT canopy_call('get-carrier', '{\"carrierId\": \"1\"}')";

create_canopy_server($node, $sandbox);
create_attempt($node);

# Without this, no request to the others would prove nothing.
is((attempts($node, $call))[0]{sqlstate}, '02000', 'a good server is asked');
is(scalar(my @asked = $sandbox->log), 1, 'and gets the request');
$sandbox->clear_log;

for my $kind (qw(cert_self_signed cert_wrong_host cert_expired cert_not_yet tls_1_1 plaintext truncated_tls))
{
	my $port = $sandbox->listener($kind);
	refuses("a listener of kind $kind", "SET base_url 'https://localhost:$port'");
	is($sandbox->listener_state($port)->{connections}, 1, 'there was one connection');
	$sandbox->close_listener($port);
}

my $file = PostgreSQL::Test::Utils::tempdir();
append_to_file("$file/empty.pem", '');
append_to_file("$file/text.pem", "no certificate\n");
my $good = "SET base_url '" . $sandbox->base_url . "'";
refuses('a name that the certificate does not have', $good =~ s/localhost/api.localhost/r);
refuses('an empty ca_file', "$good, SET ca_file '$file/empty.pem'");
refuses('a ca_file without certificate', "SET ca_file '$file/text.pem'");

my ($error) = attempts($node, "ALTER SERVER canopy OPTIONS (SET ca_file '$file/missing.pem')", $call);
is($error->{sqlstate}, '00000', 'a missing ca_file is not refused when it is set, so that dumps can be restored');
($error) = attempts($node, $call);
is($error->{sqlstate}, 'F0000', 'but when it is used');
is($error->{message}, "could not read ca_file \"$file/missing.pem\": No such file or directory", 'message');

refuses('no ca_file', 'DROP ca_file');
like((attempts($node, $call))[0]{hint}, qr/a superuser can set option ca_file/, 'hint');

done_testing();

# Checks that a server with these options is not trusted, which is not just a failed connection.
sub refuses
{
	my ($name, $options) = @_;
	my ($error) = (attempts($node, "ALTER SERVER canopy OPTIONS ($options)", $call))[1];

	is($error->{sqlstate}, '08004', $name) or diag explain $error;
	is($error->{message}, q{could not call operation "get-carrier": TLS connection could not be trusted}, 'message');
	is_deeply([ $sandbox->log ], [], 'no request is sent');
	return;
}
