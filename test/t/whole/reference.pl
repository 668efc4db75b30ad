# Is doc/reference.md what the catalog says, does it describe every option and setting, and does doc/operations.md say
# what becomes of every table's rows?
use strict;
use warnings;

use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(conf => "shared_preload_libraries = 'canopy_summit'\n");
my ($made, $problems) =
  run_command([ 'psql', '-X', '-d', $node->connstr('postgres'), '-f', in_checkout('doc/reference.sql') ]);

is($problems, '', 'the page is made');
my @page = split /\n/, slurp_file(in_checkout('doc/reference.md'));
my %page = map { ($_ => 1) } @page;
my %made = map { ($_ => 1) } split /\n/, $made;
is_deeply([ grep { !$page{$_} } sort keys %made ], [], 'it says what the catalog says: or else run make doc');
is_deeply([ grep { !$made{$_} } @page ], [], 'and nothing else');
ok("$made\n" eq slurp_file(in_checkout('doc/reference.md')), 'in this order');
is_deeply([ grep { /^\|.*\|\s*\|$/ } @page ], [], 'every row says what it is about');

my ($section) = slurp_file(in_checkout('doc/operations.md')) =~ /^## Tables\n(.*?)^## /ms;
my @rows = map { (split /\|/)[1] } grep { /^\| [`e]/ } split /\n/, $section;
my @named = sort map { /`([\w.]+)`/g } @rows;
is_deeply(
	\@named,
	[   split /\n/,
		$node->safe_psql(
			'postgres',
			<<~'SQL') ], 'operations.md has one row for each table but those of entities, which have one');
	SELECT regexp_replace(c.oid::regclass::text, '^canopy_summit\.', '') COLLATE "C" FROM canopy_summit.members() m
		JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind = 'r'
	WHERE c.relname NOT IN (SELECT canopy_summit.entities()) ORDER BY 1
	SQL
done_testing();
