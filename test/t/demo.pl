# Does the demo fit on one screen, and can a reader type what it shows?
use strict;
use warnings;

use CanopyTest;
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

my $script = dirname(__FILE__) . '/../demo.sh';
my $shown = demo_output();
my $lines = () = $shown =~ /\n/g;
cmp_ok($lines, '<=', 60, 'the demo fits on one screen');

# The demo's servers are gone, so its statements run against others, with the same data.
my $sandbox = start_sandbox(seed => 1);
my $node = new_node(conf => "shared_preload_libraries = 'canopy_summit'");
my $replayed = replay(statements($shown));
my @tables = tables($shown);
cmp_ok(scalar @tables, '>=', 4, 'the demo shows tables');
is($replayed, join("\n", @tables), 'the demo\'s statements give the same tables in psql');

done_testing();

sub demo_output
{
	my ($stdout, $stderr);
	IPC::Run::run([$script], '>', \$stdout, '2>', \$stderr) or die "the demo failed: $stderr";
	return $stdout;
}

# Statements begin a line with a capital keyword, and end one with a semicolon.
sub statements
{
	my ($output) = @_;
	return $output =~ /^((?:CREATE|INSERT|SELECT)\b.*?;)$/msg;
}

# Tables run from the heading over the dashes to the row count.
sub tables
{
	my ($output) = @_;
	return $output =~ /^([^\n]*\n-[-+]*\n.*?^\(\d+ rows?\)\n)/msg;
}

sub replay
{
	my $sql = join "\n", @_;
	my $ready = $sandbox->{ready};
	my %canopy = (
		base_url => $sandbox->base_url,
		ca_file => $sandbox->ca_file,
		client_secret_file => CanopyTest::secret_file($sandbox->client_secret));
	my %summit = (
		base_url => $ready->{summit_base_url},
		auth_url => $ready->{summit_auth_url},
		ca_file => $sandbox->ca_file,
		client_secret_file => CanopyTest::secret_file($ready->{summit_client_secret}));
	my ($first, $second) = $sql =~ /^(.*?)(CREATE SERVER summit\b.*)$/s or die 'the demo makes no server summit';

	$sql = with_options($first, %canopy) . with_options($second, %summit);
	my $output;
	IPC::Run::run(
		[ 'psql', '-X', '--quiet', '--set=ON_ERROR_STOP=1', '--dbname', $node->connstr('postgres') ],
		'<', \$sql, '>', \$output)
	  or die 'psql failed';
	return join "\n", tables($output);
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
