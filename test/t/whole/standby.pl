# Does a standby read, and refuse to write before it asks the network?
use strict;
use warnings;

use CanopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox();
my $primary = new_node(name => 'primary', init => { allows_streaming => 1 });
my $pull_id = $sandbox->pull_id('user_good');
my $standby = PostgreSQL::Test::Cluster->new('standby');

create_canopy_server($primary, $sandbox, role => 'PUBLIC');
$primary->backup('copy');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', <<~"SQL");
	CREATE ROLE standby_reader;
	SELECT canopy_summit.grant_access('standby_reader', 'reader');
	SELECT canopy_fetch_pull('$pull_id');
	SQL
$primary->wait_for_catchup($standby);
$sandbox->clear_log;

subtest 'reads' => \&reads;
subtest 'writes are refused' => \&refused;
subtest 'what only asks works' => \&asks;
subtest 'after promotion' => \&promoted;
done_testing();

# Every view gives the rows that it gives on the primary, masked or not.
sub reads
{
	my @views = split /\n/, $primary->safe_psql('postgres', <<~'SQL');
		SELECT oid::regclass FROM pg_class
		WHERE relkind = 'v' AND relnamespace IN ('canopy'::regnamespace, 'canopy_summit'::regnamespace)
		SQL
	my $everything = join '; ', map { "SELECT * FROM $_ t ORDER BY t::text" } @views;
	my $shown = $standby->safe_psql('postgres', $everything);

	cmp_ok(scalar @views, '>', 60, 'all views are read');
	is($shown, $primary->safe_psql('postgres', $everything), 'they give what they give on the primary');
	like($shown, qr/SUCCESS/, 'which is something');
	my $masked = 'SET ROLE standby_reader; SELECT first_name, last_name FROM canopy.pull';
	is($standby->safe_psql('postgres', $masked), '***|***', 'personal columns are masked');
	return;
}

sub refused
{
	my %calls = (
		canopy_fetch_pull => "SELECT canopy_fetch_pull('$pull_id')",
		canopy_store_pull => q{SELECT canopy_store_pull('{"pull_id": "x"}')},
		canopy_archive_pull => "SELECT canopy_archive_pull('$pull_id')",
		canopy_remap => 'SELECT canopy_remap()',
		'canopy_call to change something' =>
		  qq{SELECT canopy_call('patch-pull-by-id', '{"pullId": "$pull_id"}', '{"is_archived": true}')},
		add_column => q{SELECT canopy_summit.add_column('pull', 'code', 'text')});

	for my $name (sort keys %calls)
	{
		is(scalar sqlstate_of($standby, $calls{$name}), '25006', "$name on a standby");
		is(scalar sqlstate_of($primary, "BEGIN READ ONLY; $calls{$name}"), '25006', "$name in a read-only transaction");
	}
	is(scalar $sandbox->log, 0, 'nothing was sent');
	is($sandbox->pull($pull_id)->{is_archived}, JSON::PP::false, 'nor changed');
	return;
}

sub asks
{
	is($standby->safe_psql('postgres', 'SELECT canopy_health()'), 't', 'a safe operation');
	is($standby->safe_psql('postgres', <<~'SQL'), $pull_id, 'a listing, with what is stored');
		SELECT pull_id FROM canopy_list_pulls(max_rows => NULL) WHERE stored
		SQL
	like($standby->safe_psql('postgres', q{SELECT canopy_connect_link('alias')}), qr{/c/alias$}, 'a link');
	return;
}

sub promoted
{
	$standby->promote;
	is( $standby->safe_psql('postgres', "SELECT version, changed FROM canopy_fetch_pull('$pull_id')"), '1|f',
		'a fetch finds its pull');
	is($standby->safe_psql('postgres', 'SELECT canopy_remap()'), '1', 'and writing works');
	$standby->safe_psql('postgres', 'CALL canopy_summit.run_tasks()');
	is($standby->safe_psql('postgres', 'SELECT state FROM canopy_summit.progress'), 'done', 'tasks are done');
	return;
}
