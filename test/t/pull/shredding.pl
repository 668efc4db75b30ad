# Is every value of a pull in the column of its field or in extra, every object one row, and nothing lost?
use strict;
use warnings;

use CanopyTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use ShreddedPull;
use Test::More;

my $sandbox = start_sandbox(seed => 1);
my $node = new_node(conf => "fsync = off\nautovacuum = off");
create_canopy_server($node, $sandbox, options => { with_property_data => 'true' });

# A pull in which every declared field holds a value of its own.
my $generated = made('sentinel');
my $sentinel = $generated->{pull};
store($sentinel);
# Pulls as they come: departing from their schemas, and of every user of the sandbox.
my @quirks = (made('quirks'), made('quirks', '--string-meta-data'));
$quirks[1]{pull_id} .= '-2';
store($_) for @quirks;
my %users = map { $_ => $sandbox->pull($sandbox->pull_id($_)) } keys %{ $sandbox->{ready}{pulls} };
my @fetch = map { "SELECT canopy_fetch_pull('$_->{pull_id}');" } values %users;
$node->safe_psql('postgres', join "\n", @fetch);

my $stored = entity_rows($node);
my %rows = %{ $stored->{pulls} };

my @leaves = map { @{ $_->{leaves} } } objects_of($sentinel, $stored->{types});
my %checked = map { $_->{path} => 1 } @leaves;
my @unchecked =
  grep { !is_checked($_) } grep { $_ ne 'pull_id' } map { join '.', @{ $_->{path} } } @{ $generated->{sentinels} };
cmp_ok(scalar @leaves, '>', 2000, 'the pull with sentinels has thousands of them');
is_deeply(\@unchecked, [], 'every sentinel is looked for');
is_right('the pull with sentinels', $sentinel);
is_deeply(
	[ grep { defined $_->{extra} } map { @$_ } values %{ $rows{ $sentinel->{pull_id} } } ],
	[], 'none of its values is in extra');
is(drift($sentinel->{pull_id}), '', 'and nothing in it is new, missing, retyped or replaced');
is_deeply([ wrong_twins($sentinel->{pull_id}) ], [], 'every amount in cents has its twin');

for my $quirk (@quirks)
{
	is_right('the quirky pull', $quirk);
}
my @undeclared = map { keys %{ $_->{extra} } } objects_of($quirks[0], $stored->{types});
is_deeply(
	[ sort @undeclared ],
	[qw(GaragingAddress LienHolderAddress deleted_at deleted_at licences property_data_fetched sustainability_score)],
	'its undeclared fields are among what has to be in extra');
is( drift($quirks[0]{pull_id}, 'new'),
	join(
		"\n",
		sort qw(agent.licences dwelling.deleted_at
		  dwelling.property_data_fetched policy.deleted_at pull.sustainability_score vehicle.GaragingAddress
		  vehicle.LienHolderAddress)),
	'they are drift');

is_right("the pull of $_", $users{$_}) for sort keys %users;

my ($objects, $count) = (0, 0);
$objects += objects_of($_, $stored->{types}) for $sentinel, @quirks, values %users;
$count += @$_ for map { values %$_ } values %rows;
is($count, $objects, 'there are as many rows as objects');
cmp_ok($count, '>', 2000, 'which are thousands');

# The check itself fails when something is wrong.
my %damaged = (%$sentinel, status => 'PROCESSING');
cmp_ok(problems(\%damaged), '>', 0, 'another value would be noticed');
%damaged = (%$sentinel, surprise => 1);
cmp_ok(problems(\%damaged), '>', 0, 'so would a value that is nowhere');
%damaged = %$sentinel;
delete $damaged{status};
cmp_ok(problems(\%damaged), '>', 0, 'a value that comes from nowhere');
%damaged = (%$sentinel, drivers => [ $sentinel->{drivers}[0] ]);
cmp_ok(problems(\%damaged), '>', 0, 'a row too many');
%damaged = (%$sentinel, drivers => [ @{ $sentinel->{drivers} }, $sentinel->{drivers}[0] ]);
cmp_ok(problems(\%damaged), '>', 0, 'and a row too few');

done_testing();

sub made { return read_json(generated(@_)) }

sub store
{
	my ($pull) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir('pull') . '/pull.json';

	append_to_file($file, JSON::PP->new->utf8->encode($pull));
	$node->safe_psql('postgres', "SELECT canopy_store_pull(convert_from(pg_read_binary_file('$file'), 'UTF8')::jsonb)");
	return;
}

# A sentinel in a free-form object is checked with the whole of it.
sub is_checked
{
	my ($path) = @_;
	for (; length $path; $path =~ s/\.?[^.]*$//)
	{
		return 1 if $checked{$path};
	}
	return 0;
}

sub is_right
{
	my ($name, $pull) = @_;
	is_deeply([ problems($pull) ], [], "$name is in its rows, all of it");
	return;
}

sub problems
{
	my ($pull) = @_;
	return problems_of($pull, $rows{ $pull->{pull_id} }, $stored->{types});
}

# Paths of a pull's drift, of one kind if it is given.
sub drift
{
	my ($pull_id, $kind) = @_;
	my $only = defined $kind ? "AND kind = '$kind'" : '';
	return $node->safe_psql('postgres', <<~"END");
		SELECT path
		FROM canopy_summit.pull_version, jsonb_each(drift) AS d(kind, paths),
			jsonb_array_elements_text(paths) AS p(path)
		WHERE pull_id = '$pull_id' $only ORDER BY path COLLATE "C"
		END
}

sub wrong_twins
{
	my ($pull_id) = @_;
	my @wrong;
	my $amounts = 0;

	for my $table (sort keys %{ $rows{$pull_id} })
	{
		my @cents = grep { /_cents$/ } keys %{ $stored->{types}{$table} };
		next if !@cents;
		my $shown = read_json(
			$node->safe_psql(
				'postgres', "SELECT jsonb_agg(to_jsonb(v)) FROM canopy.${table}_all v WHERE pull_id = '$pull_id'"));
		for my $row (@$shown)
		{
			for my $column (@cents)
			{
				my $twin = $column =~ s/(?:_tenth_of)?_cents$//r;
				my $unit = $column =~ /tenth_of/ ? 1000 : 100;
				$amounts++;
				push @wrong, "$table.$column" if abs(($row->{$twin} // 0) * $unit - $row->{$column}) > 0.1;
			}
		}
	}
	push @wrong, "only $amounts amounts" if $amounts < 100;
	return @wrong;
}
