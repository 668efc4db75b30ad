# Does storing a state that is already there write nothing but the time of the request?
use strict;
use warnings;

use CanopyTest;
use List::Util qw(max shuffle);
use PostgreSQL::Test::Utils;
use ShreddedPull qw(read_json);
use Test::More;

use constant WAL_MAX => 2048; # bytes a confirmed state may cost

test_seed();
my $sandbox = start_sandbox(seed => 1);
# Nobody else may write WAL or rows meanwhile.
my $node = new_node(conf => <<~'END');
	fsync = off
	autovacuum = off
	checkpoint_timeout = 1h
	max_wal_size = 4GB
	END
create_canopy_server($node, $sandbox, options => { with_property_data => 'true' });

my @users = qw(user_good_complete user_good_commercial user_good_life user_consumer_data);
my %bytes =
  map { $_ => $sandbox->{http}->get("$sandbox->{ready}{control_url}/pull/" . $sandbox->pull_id($_))->{content} } @users;
my %pulls = map { $_ => tree_of($bytes{$_}) } @users;

# Fetched again, as it was and with keys and lists in another order.
for my $user (@users)
{
	my $pull_id = $sandbox->pull_id($user);
	my $fetch = "SELECT version, changed FROM canopy_fetch_pull('$pull_id')";

	is($node->safe_psql('postgres', $fetch), '1|t', "$user: the first fetch stores");
	my $before = writes();
	is($node->safe_psql('postgres', $fetch), '1|f', "$user: the second finds it unchanged");
	for (1 .. 3)
	{
		my $other = in_another_order($pulls{$user});
		$sandbox->put_pull($pull_id, $other);
		isnt($other, $bytes{$user}, 'other bytes of the same content');
		is($node->safe_psql('postgres', $fetch), '1|f', 'are found to be unchanged');
	}
	is_deeply(changes_since($before), {}, 'nothing is written to an entity table, or another version');
}

# Stored again, many times in one session, in many orders; each call costs some WAL.
my $count = scaled(1000);
my (@statements, @names);
for my $user ((@users) x 2, map { $users[ rand @users ] } 1 .. $count)
{
	push @names, $user;
	push @statements, measured(in_another_order($pulls{$user}));
}
my $before = writes();
my @results = map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', "CHECKPOINT;\n" . join "\n", @statements);
is(scalar @results, scalar @names, "$count orders are stored");
is(scalar(grep { $_->[0] ne 'f' } @results), 0, 'and each is found to be unchanged');
is_deeply(changes_since($before), {}, 'nothing is written to an entity table, or another version');
# The first calls after a checkpoint write whole pages.
my $most = max map { $_->[1] } @results[ 2 * @users .. $#results ];
cmp_ok($most, '<', WAL_MAX, 'a call writes little WAL');
cmp_ok($most, '>', 0, 'though some, for the time of the request');
diag("at most $most bytes of WAL a call");

# The measures do notice a change.
$before = writes();
like(
	$node->safe_psql('postgres', measured(with_field($bytes{user_good_complete}, status => '"PROCESSING"'))),
	qr/^t\|\d{5,}$/, 'another state writes much WAL');
my $changes = changes_since($before);
cmp_ok(scalar keys %$changes, '>', 10, 'to many tables');
is($changes->{pull_version}[0], 1, 'and one version');
# The order of plain values in a list does say something.
is_deeply(
	[   map {
			$node->safe_psql('postgres', measured(with_field($bytes{user_good_life}, skipped_product_types => $_))) =~
			  /^t\|/
			  ? 't'
			  : 'f'
		} '["personal","agent"]',
		'["personal","agent"]',
		'["agent","personal"]' ],
	[qw(t f t)],
	'so does a list of plain values in another order');

done_testing();

# JSON as a tree: hashes and arrays whose leaves are the bytes of strings, numbers and words.
sub tree_of
{
	my @tokens = $_[0] =~ /"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\s"\[\]{},:]+|[\[\]{}]/g;
	return tree_from(\@tokens);
}

sub tree_from
{
	my ($tokens) = @_;
	my $token = shift @$tokens;
	my @members;

	return $token if $token !~ /^[\[{]$/;
	push @members, tree_from($tokens) while $tokens->[0] !~ /^[\]}]$/;
	shift @$tokens;
	return $token eq '{' ? {@members} : \@members;
}

# JSON with keys and objects of lists in random order.
sub in_another_order
{
	my ($tree) = @_;

	if (ref $tree eq 'HASH')
	{
		return '{' . join(',', map { "$_:" . in_another_order($tree->{$_}) } shuffle keys %$tree) . '}';
	}
	if (ref $tree eq 'ARRAY')
	{
		my @elements = map { in_another_order($_) } @$tree;
		@elements = shuffle @elements if !grep { ref ne 'HASH' } @$tree;
		return '[' . join(',', @elements) . ']';
	}
	return $tree;
}

# The JSON of an object with another value of one of its fields.
sub with_field
{
	my ($bytes, $field, $value) = @_;
	return in_another_order({ %{ tree_of($bytes) }, qq("$field") => $value });
}

# A statement that stores JSON and shows whether that changed something, and what it cost in WAL.
sub measured
{
	my ($json) = @_;
	my $text = $json =~ s/'/''/gr;
	return <<~"END";
		SELECT pg_current_wal_insert_lsn() AS start \\gset
		SELECT changed FROM canopy_store_pull('$text') \\gset
		SELECT :'changed', pg_current_wal_insert_lsn() - :'start';
		END
}

# Rows inserted, updated and deleted so far, by table of the engine.
sub writes
{
	return read_json($node->safe_psql('postgres', <<~'END'));
		SELECT pg_stat_force_next_flush();
		SELECT jsonb_object_agg(relname, jsonb_build_array(n_tup_ins, n_tup_upd, n_tup_del))
		FROM pg_stat_user_tables WHERE schemaname = 'canopy_summit' AND relname <> 'pull_state';
		END
}

# What has been written since, by table; nothing of a table that has not been written to.
sub changes_since
{
	my ($before) = @_;
	my $now = writes();
	my %changes;

	for my $table (keys %$now)
	{
		my @difference = map { $now->{$table}[$_] - $before->{$table}[$_] } 0 .. 2;
		$changes{$table} = \@difference if grep { $_ != 0 } @difference;
	}
	return \%changes;
}
