# Can an upgrade script replay what is replaceable, over an extension that is in use?
use strict;
use warnings;

use CanopyTest;
use Cwd qw(cwd);
use PostgreSQL::Test::Utils;
use Test::More;

my $top = cwd();
my ($version) = slurp_file("$top/canopy_summit.control") =~ /^default_version = '(.*)'$/m;
my $build = PostgreSQL::Test::Utils::tempdir('build');
my $tree = PostgreSQL::Test::Utils::tempdir('tree');
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};

# The upgrade changes nothing but makes a function and a view more, as the next version might.
system_or_bail('make', '-s', '-C', $build, '-f', "$top/Makefile", "PG_CONFIG=$ENV{PG_CONFIG}", 'replay.sql');
my $replay = slurp_file("$build/replay.sql");
my $new = <<~'SQL';
	CREATE FUNCTION canopy_summit.newer() RETURNS integer LANGUAGE sql RETURN 1;
	CREATE VIEW canopy.newer AS SELECT 1 AS one;
	SQL
unlike(
	$replay, qr{^CREATE (?!OR REPLACE)|^(?:ALTER|DROP|INSERT|UPDATE|DELETE) (?!FROM canopy_summit.access_rule;)}m,
	'what is replayed makes nothing that may be there');
system_or_bail('cp', '-r', "$ENV{CANOPY_TREE}/.", $tree);
$ENV{CANOPY_TREE} = $tree;
my $node = new_node();
my $scripts = $tree . $node->config_data('--sharedir') . '/extension';
append_to_file("$scripts/canopy_summit--$version--replayed.sql", $replay);
append_to_file("$scripts/canopy_summit--replayed--newer.sql", $replay =~ s/^(?=-- engine\/access\.sql)/$new/mr);

# In use: levels that were granted, an added column, somebody else's view, and privileges that come by default.
$node->safe_psql('postgres', <<~'SQL');
	CREATE ROLE reads;
	CREATE ROLE meddles;
	CREATE EXTENSION canopy_summit;
	CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
	SELECT canopy_summit.grant_access('reads', 'reader');
	SELECT canopy_summit.add_column('policy', 'code', 'text', false);
	SELECT canopy_store_pull('{"pull_id": "p", "status": "SUCCESS", "policies": [{"policy_id": "a", "code": "C"}]}');
	CREATE VIEW theirs AS SELECT policy_id, code FROM canopy.policy;
	ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO meddles;
	ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO meddles;
	SQL
my @before = split /\n/, $node->safe_psql('postgres', members());
# In a subtransaction, whose objects have another number than the transaction.
my $update = q{BEGIN; SAVEPOINT s; ALTER EXTENSION canopy_summit UPDATE TO '%s'; RELEASE s; COMMIT};
$node->safe_psql('postgres', sprintf $update, 'replayed');
is_deeply(
	[ split /\n/, $node->safe_psql('postgres', members()) ], \@before,
	'everything is as it was, privileges too');
is($node->safe_psql('postgres', 'SET ROLE reads; SELECT code FROM canopy.policy'), 'C', 'who reads goes on reading');
is($node->safe_psql('postgres', 'SELECT * FROM theirs'), 'a|C', 'so does a view on it');

$node->safe_psql('postgres', sprintf $update, 'newer');
is($node->safe_psql('postgres', <<~'SQL'), "f|f\nf|f", 'what an upgrade adds is nobody\'s by default');
	SELECT has_function_privilege(r, 'canopy_summit.newer()', 'EXECUTE'),
		has_table_privilege(r, 'canopy.newer', 'SELECT')
	FROM unnest('{meddles,public}'::name[]) r
	SQL
$node->safe_psql('postgres', q{SELECT canopy_summit.grant_access('reads', 'reader')});
is($node->safe_psql('postgres', 'SET ROLE reads; SELECT * FROM canopy.newer'), 1, 'until the level is granted again');
done_testing();
