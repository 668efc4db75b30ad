# Can any spelling of an address, or any answer of a name server, make a request go to the private
# network of a server that does not allow it?
use strict;
use warnings;

use CanopyAttempt;
use CanopyShim;
use CanopyTest;
use Test::More;

my $shim = CanopyShim->new;
my $sandbox = start_sandbox();
my $node = new_node(env => $shim->env);
my $trap = $sandbox->listener('trap');
my $public = '93.184.216.34';

create_canopy_server($node, $sandbox, options => { allow_private_addresses => undef, timeout => '2s' });
create_attempt($node);

# Without this, no connection to the trap would prove nothing.
subtest 'a public address' => sub {
	$shim->hosts('public.test' => $public);
	like(outcome("https://public.test:$trap"), qr/^08/, 'the trap does not answer');
	is_deeply([ $shim->connections ], [$public], 'the address is connected to');
	is($sandbox->listener_state($trap)->{connections}, 1, 'and that ends in the trap');
};

my %spellings = (
	'IPv4' => [
		'127.0.0.1', '127.1', '127.0.1', '127.255.255.254', '0', '0.0.0.0', '10.0.0.1', '10.1', '100.64.0.1',
		'100.127.255.255', '169.254.169.254', '172.16.0.1', '172.31.255.255', '192.0.0.1', '192.0.2.1',
		'192.88.99.1', '192.168.0.1', '192.168.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '224.0.0.1',
		'239.255.255.250', '240.0.0.1', '255.255.255.255' ],
	'IPv4 in decimal, octal and hexadecimal' => [
		'2130706433', '0x7f000001', '0x7F000001', '0x7f.0.0.1', '0x7f.1', '0177.0.0.1', '017700000001',
		'0177.0x0.0.01', '127.000.000.001', '167772161', '012.0.0.1', '0x0', '00', '3232235521', '0xc0a80001',
		'2852039166', '0xa9fea9fe', '0251.0376.0251.0376', '169.254.43518', '0xa9.0376.43518' ],
	'IPv6' => [
		'[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[0000:0000::0001]', '[fc00::1]', '[fd00:ec2::254]', '[fe80::1]',
		'[fec0::1]', '[ff02::1]', '[2001::1]', '[2001:db8::1]', '[3fff::1]', '[5f00::1]', '[100::1]', '[4000::1]' ],
	'IPv6 with a zone' => [ '[fe80::1%25lo]', '[fe80::1%251]', '[::1%25lo]', '[::ffff:127.0.0.1%25lo]' ],
	'IPv4 in IPv6' => [
		'[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::ffff:10.0.0.1]', '[::ffff:a9fe:a9fe]',
		'[0:0:0:0:0:ffff:7f00:1]', '[::127.0.0.1]', '[::7f00:1]', '[64:ff9b::127.0.0.1]', '[64:ff9b::7f00:1]',
		'[64:ff9b::a9fe:a9fe]', '[64:ff9b:1::7f00:1]', '[2002:7f00:1::]', '[2002:a9fe:a9fe::1]', '[::ffff:0:127.0.0.1]'
	],
	'names' => [
		'localhost', 'LOCALHOST', 'localhost.', 'api.localhost', 'metadata', 'metadata.google.internal',
		'instance-data', 'xn--lcalhost-5cd.test', '127.0.0.1.nip.test', '127.0.0.1.' ],
	'encoded' => [ '127.0.0.%31', '%31%32%37.0.0.1', '%6cocalhost', '%6Cocalhost' ],
);
$shim->hosts(
	metadata => '169.254.169.254',
	'metadata.google.internal' => '169.254.169.254',
	'instance-data' => '169.254.169.254',
	map { $_ => '127.0.0.1' }
	  qw(localhost. LOCALHOST api.localhost xn--lcalhost-5cd.test 127.0.0.1.nip.test 127.0.0.1.));
for my $kind (sort keys %spellings)
{
	subtest $kind => sub {
		is(outcome("https://$_:$trap/api"), '42501', "https://$_") for @{ $spellings{$kind} };
	};
}

# These do not get into a server's options, or are no URL.
subtest 'tricks' => sub {
	is(outcome($_), 'option 22023', s/([\x00-\x1f])/sprintf '\x%02x', ord $1/er)
	  for (
		"https://good.test\@localhost:$trap", "https://good.test:443\@localhost:$trap",
		"https://good.test\\\@localhost:$trap", "https://localhost:$trap\\.good.test",
		"https:\\\\localhost:$trap", "https://localhost:$trap#\@good.test", "https://localhost:$trap?\@good.test",
		"https://local\thost:$trap", "https://local\nhost:$trap", "https://localhost:$trap\r\nHost: good.test",
		" https://localhost:$trap", "https:// localhost:$trap", "https://ⓛocalhost:$trap",
		"https://①②⑦.0.0.1:$trap", "https://127。0。0。1:$trap", "https://locaⅼhost:$trap",
		"https:localhost:$trap", "https:/localhost:$trap", "https:///localhost:$trap", "//localhost:$trap",
		"localhost:$trap", "http://localhost:$trap", "HTTPS://localhost:$trap", "ftp://localhost:$trap",
		"gopher://localhost:$trap/_", 'file:///etc/passwd', 'https://', '');
	like(outcome($_), qr/^(?:option 22023|08|42501)/, $_)
	  for (
		"https://good.test%40localhost:$trap", "https://localhost%00.good.test:$trap",
		"https://localhost%0a.good.test:$trap", "https://localhost%09:$trap", "https://[::1:$trap",
		"https://::1:$trap", "https://localhost:0$trap", "https://localhost:$trap:443",
		"https://[localhost]:$trap", "https://127.0.0.1%2f:$trap", "https://0x7f000001.:$trap");
};

# A name may answer with something else each time, or with several addresses.
subtest 'name servers' => sub {
	$shim->hosts(
		'rebind.test' => "$public 127.0.0.1",
		'private.test' => '10.0.0.1,127.0.0.1,::1,fd00::1',
		'mixed.test' => "127.0.0.1,::1,10.0.0.1,$public,169.254.169.254");
	my $old = () = $shim->connections;
	like(outcome("https://rebind.test:$trap"), qr/^08/, 'a public answer');
	is(outcome("https://rebind.test:$trap"), '42501', 'then a private one');
	is(outcome("https://private.test:$trap"), '42501', 'several private ones');
	like(outcome("https://mixed.test:1"), qr/^(?:08|42501)/, 'private and public ones');
	my @connections = $shim->connections;
	is_deeply([ @connections[ $old .. $#connections ] ], [ $public, $public ], 'only public ones are connected to');
};

# The API is at a public address here, and sends a private one as that of a download.
subtest 'a download' => sub {
	$shim->hosts('api.canopy.test' => $public, 'files.canopy.test' => '127.0.0.1');
	$node->safe_psql('postgres', <<~"SQL");
		ALTER SERVER canopy OPTIONS (ADD download_hosts 'files.canopy.test, 127.0.0.1, localhost')
		SQL
	for my $host (qw(files.canopy.test 127.0.0.1 localhost))
	{
		$sandbox->arm(fault => { kind => 'redirect', location => "https://$host:$trap/file" });
		is( outcome(
				"https://api.canopy.test:" . $sandbox->port,
				q{SELECT canopy_call('download-policy-form-by-id', '{"policyFormId": "1"}')}),
			'42501',
			"at $host");
	}
	is(scalar $sandbox->log, 3, 'the API was called');
};

is($sandbox->listener_state($trap)->{connections}, 2, 'the trap got nothing else');
is_deeply([ grep { $_ ne $public } $shim->connections ], [], 'and no other address was connected to');

done_testing();

# The SQLSTATE of a call, or of the attempt to set the URL.
sub outcome
{
	my ($url, $call) = @_;
	my ($option, $result) = sqlstates(
		$node,
		'ALTER SERVER canopy OPTIONS (SET base_url ' . CanopyTest::quoted($url) . ')',
		$call // 'SELECT canopy_health()');

	return $option eq '00000' ? $result : "option $option";
}
