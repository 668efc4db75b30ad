# Is the demo short, and can a reader type what it shows?
use strict;
use warnings;

use CanopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $shown = demo_output();
my @steps = split /^\d\. /m, $shown;
cmp_ok(scalar @steps, '==', 1 + 8, 'the demo has eight steps');
cmp_ok($_ =~ tr/\n//, '<=', 45, 'each fits on one screen') for @steps;

# The demo's servers are gone, so its statements run against others, with the same data.
my $sandbox = start_sandbox(seed => 1);
my ($port, $manager_port) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
my $node = new_node(conf => "shared_preload_libraries = 'canopy_summit'\ncanopy_summit.receiver_port = $port");
my $tls = $sandbox->{dir} . '/tls/server';
my $manager = new_node(
	name => 'manager',
	conf => "shared_preload_libraries = 'canopy_summit'\ncanopy_summit.databases = 'none'\n"
	  . "canopy_summit.receiver_port = $manager_port\ncanopy_summit.receiver_tls_cert_file = '$tls.pem'\n"
	  . "canopy_summit.receiver_tls_key_file = '$tls.key'");
system_or_bail(
	in_checkout('test/renew_policies.py'), $sandbox->{ready}{control_url},
	$sandbox->pull_id('user_good_commercial'));
my $replayed = replay(statements($shown));
my @tables = tables($shown);
cmp_ok(scalar @tables, '>=', 4, 'the demo shows tables');
is($replayed, join("\n", @tables, answers($shown)), 'the demo\'s statements and webhooks give the same in psql');

is_deeply(
	[ map { /: (.*)/ } answers($shown) ],
	[   '200 {"outcome":"stored"}', '200 {"outcome":"stored"}', '200 {"outcome":"duplicate"}',
		'401 {"error":"bad signature"}', ('200 {"outcome":"stored"}') x 3 ],
	'webhooks are stored, and neither a copy nor a forged one');
my %rows;
for my $table (@tables)
{
	my ($heading, undef, @rows) = map {
		[ map { s/^\s+|\s+$//gr } split /\|/, $_, -1 ]
	} split /\n/, $table;
	push @{ $rows{ $heading->[0] } }, @rows;
}
my ($before, $after, $still, @told) = @{ $rows{policy_number} };
is_deeply(
	[ map { "@$_" } @told ],
	[ 'ABC123456 KEL-001 t t', 'ABC123457 KEL-001  ', 'CO432531379 KEL-001  ' ],
	'the second database knows the certificates');
is_deeply($before, [ 'ABC123456', 'verified', 2, '', '', 0, 0 ], 'nothing is told before but by the poll');
is_deeply(
	$after, [ 'ABC123456', 'verified', 3, 'COMPLETE', 'none: it is complete', 2, 0 ],
	'the two change the views');
is_deeply($still, [ @$after[ 0 .. 5 ], 1 ], 'the others change nothing but the count of what was refused');
is_deeply(
	[ @{ $rows{kind} }[ 1, 3 ] ],
	[ [ 'vendor', 'Property', 'fail', 'no_policy', '' ], [ 'vendor', 'Property', 'pass', 'ok', '1200000', 'USD' ] ],
	'a pulled policy meets a requirement');
is("@{ $rows{source}[0] }", 'api ACTIVE 1 mon t', 'the account is monitored, and its consumer has to log in');
my $met = 'The requirement is met.';
is_deeply(
	$rows{lease},
	[   [ 'Renewal due', 'ok', 'ok', $met, 'expired' ],
		[ 'Compliant', 'ok', 'ok', $met, 'ok' ],
		[ 'Expired', 'lapsed', 'lapsed', 'The policy has lapsed.', 'ok' ],
		[ 'Compliant', 'lapsed', 'ok', $met, 'ok' ] ],
	'with a renewal none is due; a lapse counts, and leaves a gap when it is over');

my $certificate = join ',', 'KEL-001', 'Unit-204', 'L-7788', 'RES-9981', 'ABC Apartments', 'true', 'true', 'ABC123456',
  'Example Insurance Company of Canada', 'CGL', 'FROM', 'UNTIL', 2000000, 5000000, 30,
  'Additional Insured; Waiver of Subrogation';
like(
	$shown =~ s/,\d{4}-\d\d-\d\d,\d{4}-\d\d-\d\d,/,FROM,UNTIL,/r, qr/^ \Q$certificate\E,/m,
	'its certificate is exported for Yardi');

done_testing();

sub demo_output
{
	my ($stdout, $stderr);
	IPC::Run::run([ in_checkout('test/demo.sh') ], '>', \$stdout, '2>', \$stderr) or die "the demo failed: $stderr";
	return $stdout;
}

# Statements begin a line with a capital keyword, and end one with a semicolon; among them come webhooks.
sub statements
{
	my ($output) = @_;
	return $output =~ /^((?:CREATE|INSERT|SELECT|UPDATE)\b.*?;|The sandbox posts [^\n]*|\\connect [^\n]*)$/msg;
}

# Tables run from the heading over the dashes to an empty line.
sub tables
{
	my ($output) = @_;
	return $output =~ /^([^\n]*\n-[-+]*\n(?:[^\n]+\n)+)/mg;
}

# What was posted, and what the receiver answered: no ports.
sub answers
{
	my ($output) = @_;
	return map { "$1: $2" if /^(.*?) to \S+: (.*)/ } $output =~ /^(The sandbox posts .*)$/mg;
}

sub replay
{
	my $sql = join "\n", @_;
	my $ready = $sandbox->{ready};
	my $post = in_checkout('test/post_webhook.py') . " $ready->{control_url} http://127.0.0.1:$port replayed";
	my %canopy = (
		base_url => $sandbox->base_url,
		ca_file => $sandbox->ca_file,
		client_secret_file => CanopyTest::secret_file($sandbox->client_secret),
		webhook_secret => 'replayed');
	my %summit = (
		base_url => $ready->{summit_base_url},
		auth_url => $ready->{summit_auth_url},
		ca_file => $sandbox->ca_file,
		client_secret_file => CanopyTest::secret_file($ready->{summit_client_secret}),
		webhook_secret => 'replayed');
	my %manager = (
		base_url => "https://localhost:$manager_port/webhooks/summit", ca_file => $sandbox->ca_file,
		webhook_secret => 'replayed');
	my ($first, $second, $third, $fourth) =
	  $sql =~ /^(.*?)(CREATE SERVER summit\b.*?)(\\connect .*?)(CREATE SERVER manager\b.*)$/s
	  or die 'the demo does not make its servers';

	$sql =
		with_options($first, %canopy)
	  . with_options($second, %summit)
	  . with_options($third, webhook_secret => 'replayed')
	  . with_options($fourth, %manager);
	my @places = map { $_->host . ' ' . $_->port } $manager, $node;
	$sql =~ s/^\\connect .*/push @places, shift @places; "\\connect - - $places[-1]"/gem;
	$sql =~ s/^The sandbox posts (.*?) to .*/\\echo `$post $1`/mg;
	my $output;
	local @ENV{qw(PGHOST PGPORT PGDATABASE)} = ($node->host, $node->port, 'postgres');
	IPC::Run::run(
		[ 'psql', '-X', '--quiet', '--set=ON_ERROR_STOP=1', '--pset=footer=off' ],
		'<', \$sql, '>', \$output) or die 'psql failed';
	return join "\n", tables($output), answers($output);
}

# The statements with other values of options.
sub with_options
{
	my ($sql, %options) = @_;

	for my $option (sort keys %options)
	{
		$sql =~ s/\b$option '[^']*'/$option '$options{$option}'/ or die "the demo sets no $option";
	}
	return $sql;
}
