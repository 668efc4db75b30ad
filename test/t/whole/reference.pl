# Is doc/reference.md what the catalog says, and does it describe every option and setting?
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
done_testing();
