# Does examples/setup.sql turn the environment into a server and a mapping?

use strict;
use warnings;

use CanopyTest;
use Test::More;

my $setup = in_checkout('examples/setup.sql');
my $node = new_node();
my $sandbox = start_sandbox();

sub run_setup
{
	my %environment = @_;
	local @ENV{ keys %environment } = values %environment;
	my ($stdout, $stderr) = ('', '');
	my $status = $node->psql(
		'postgres', undef, stdout => \$stdout, stderr => \$stderr,
		extra_params => [ '-f', $setup ]);
	return ($status, $stdout, $stderr);
}

my ($status, $stdout, $stderr) = run_setup(CANOPY_CLIENT_ID => 'id');
like($stderr, qr/CANOPY_CLIENT_SECRET is not set/, 'a missing variable is named');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_foreign_server'), 0, '… and nothing is made');

my %environment = (
	CANOPY_CLIENT_ID => $sandbox->client_id,
	CANOPY_CLIENT_SECRET => $sandbox->client_secret,
	CANOPY_TEAM_ID => $sandbox->team_id,
	CANOPY_WEBHOOK_SIGNING_SECRET => 'hook',
	CANOPY_API_BASE_URL => $sandbox->base_url);
($status, $stdout, $stderr) = run_setup(%environment);
is($status, 0, 'the script succeeds') or diag $stderr;
like($stdout, qr/^Ready/m, '… and says what to do next');
is( $node->safe_psql('postgres', <<~'SQL'),
	SELECT string_agg(option_name, ' ' ORDER BY option_name)
	FROM information_schema.user_mapping_options
	SQL
	'client_id client_secret webhook_secret', 'the mapping has the secrets');
unlike(
	PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/\Q$environment{CANOPY_CLIENT_SECRET}\E/,
	'the log does not');

my $ca_file = $sandbox->ca_file;
$node->safe_psql(
	'postgres',
	"ALTER SERVER canopy OPTIONS (ADD ca_file '$ca_file', ADD allow_private_addresses 'true')");
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM canopy_list_pulls()'), 't', 'and the API answers');

done_testing();
