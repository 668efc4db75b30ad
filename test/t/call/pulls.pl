# Do the functions of Canopy Connect beside fetching do what they say: list, archive, carriers, terms, health, link?
use strict;
use warnings;

use CanopyTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $sandbox = start_sandbox();
my $node = new_node();
create_canopy_server($node, $sandbox, role => 'PUBLIC', options => { public_alias => 'sandbox-link' });
create_canopy_server($node, $sandbox, server => 'other', options => { link_metadata_prefix => 'ccmeta_' });
$node->safe_psql('postgres', 'CREATE SERVER plain FOREIGN DATA WRAPPER canopy_api');
make_roles();

subtest 'listing' => \&listing;
subtest 'a listing that is cut short, shifted or stopped' => \&odd_listings;
subtest 'what a listing shows to whom' => \&listing_levels;
subtest 'archiving' => \&archiving;
subtest 'carriers' => \&carriers;
subtest 'terms and health' => \&terms_and_health;
subtest 'connect link' => \&connect_link;
subtest 'personal data in a connect link' => \&personal_metadata;
done_testing();

# Pages follow each other until everything, or max_rows, is there.
sub listing
{
	my $moment = '2031-05-06T07:08:09';
	for my $number (1 .. 165)
	{
		my $id = sprintf 'list-%03d', $number;
		$sandbox->put_pull(
			$id,
			{   pull_id => $id,
				status => $number % 2 ? 'SUCCESS' : 'STARTED',
				type => 'PULLING_DATA',
				created_at => sprintf('%s.%03dZ', $moment, $number),
				account_identifier => $number % 3 ? "account $number" : undef,
				meta_data => { number => $number },
				is_archived => $number % 5 ? JSON::PP::false : JSON::PP::true });
	}
	my @all = map { $_->{pull_id} } @{ $sandbox->control(GET => 'pulls')->{pulls} };
	$sandbox->clear_log;

	is_deeply([ list('max_rows => NULL') ], \@all, 'without limit every pull is listed, newest first');
	is_deeply([ pages() ], [ '100 at 0', '100 at 100', (@all - 200 < 100 ? '100 at 200' : ()) ], 'page by page');
	is_deeply([ list('') ], [ @all[ 0 .. 99 ] ], 'a hundred without being asked');
	is_deeply([ list('max_rows => 150') ], [ @all[ 0 .. 149 ] ], 'as many as asked');
	is_deeply([ list('max_rows => 1') ], [ $all[0] ], 'one');
	is_deeply([ pages() ], [ '100 at 0', '100 at 0', '50 at 100', '1 at 0' ], 'and no more are requested');
	is_deeply([ list('max_rows => 0') ], [], 'none');
	is(scalar pages(), 0, 'which takes no request');
	is(scalar sqlstate_of($node, 'SELECT canopy_list_pulls(max_rows => -1)'), '22023', 'fewer than none is refused');

	is_deeply(
		[ list("since => '$moment.120Z', before => '$moment.122Z'") ],
		[ 'list-122', 'list-121', 'list-120' ], 'since and before include their moments');
	is_deeply(
		[   list(
				"since => '2031-05-06 16:08:09.120+09', before => '2031-05-06 03:08:09.120-04'",
				"SET TIME ZONE 'America/New_York';") ],
		['list-120'],
		'in whatever time zone they are given');
	is( scalar sqlstate_of($node, "SELECT canopy_list_pulls(since => '-infinity')"), '22008',
		'an infinite moment is refused');

	my ($row) = rows(qq{SELECT * FROM canopy_list_pulls('$moment.120Z', '$moment.120Z')});
	is_deeply(
		$row,
		{   pull_id => 'list-120', status => 'STARTED', type => 'PULLING_DATA',
			created_at => '2031-05-06T07:08:09.12+00:00',
			account_identifier => undef, meta_data => { number => 120 }, is_archived => JSON::PP::true,
			stored => JSON::PP::false },
		'a row has the fields of its pull');
	$node->safe_psql('postgres', <<~'SQL');
		SELECT canopy_store_pull('{"pull_id": "list-007"}'), canopy_store_pull('{"pull_id": "list-008"}', 'other')
		SQL
	is_deeply(
		[ map { $_->{pull_id} } rows('SELECT * FROM canopy_list_pulls(max_rows => NULL) WHERE stored') ],
		['list-007'], 'stored says what is stored of this server');
	$sandbox->reset_state;
	return;
}

sub odd_listings
{
	my @ids = map { "id $_" } 1 .. 199;
	my $page = sub {
		+{ kind => 'body', body => { total_pulls => 199, pulls => [ map { +{ pull_id => $_ } } @_ ] } };
	};
	$sandbox->arm(fault => $page->(@ids[ 0 .. 99 ]));
	$sandbox->arm(fault => $page->(@ids[ 99 .. 198 ]));
	$sandbox->arm(fault => $page->());
	is_deeply([ list('max_rows => NULL') ], \@ids, 'a pull that has moved to the next page is listed once');

	$sandbox->clear;
	$sandbox->arm(times => undef, fault => $page->(@ids[ 0 .. 99 ]));
	is_deeply(
		[ list('max_rows => NULL') ], [ @ids[ 0 .. 99 ] ],
		'a server that repeats its first page for ever is left');

	my @long = map { 'x' x 300 . $_ } 1 .. 3;
	$sandbox->clear;
	$sandbox->arm(fault => $page->(@long));
	is_deeply([ list('') ], \@long, 'long ids are told apart');

	$sandbox->clear;
	$sandbox->arm(
		fault => {
			kind => 'body', body => { pulls => [ 1, undef, 'x', [], {}, { pull_id => undef }, { pull_id => 'good' } ] }
		});
	is_deeply([ list('') ], ['good'], 'what is no pull is passed over');

	# The second page never comes. Where the first has not come before the timeout, again with a longer one.
	my $seconds = 0.5;
	wait_until(
		'the timeout comes while it waits for its second page',
		sub {
			$seconds *= 2;
			$sandbox->clear;
			$sandbox->clear_log;
			$sandbox->arm(fault => $page->(@ids[ 0 .. 99 ]));
			$sandbox->hold;
			is(scalar sqlstate_of($node, <<~"SQL"), '57014', 'a listing can be cancelled');
				SET statement_timeout = '$seconds s'; SELECT canopy_list_pulls(max_rows => NULL)
				SQL
			return join(', ', pages()) eq '100 at 0, 100 at 100';
		});
	$sandbox->clear;
	return;
}

sub listing_levels
{
	# Pulls, their metadata, their accounts, and accounts that are masked as in the views.
	my $fields = join ', ', map { "count(*) FILTER (WHERE $_) > 0" } 'pull_id IS NOT NULL', 'meta_data IS NOT NULL',
	  q{account_identifier <> '***'}, q{account_identifier = '***'};
	my %seen = (pulls_nobody => '42501', pulls_reader => '42501', pulls_fetcher => 't|f|f|t', pulls_pii => 't|t|t|f');

	for my $role (sort keys %seen)
	{
		my $sql = "SET ROLE $role; SELECT $fields FROM canopy_list_pulls()";
		is( scalar sqlstate_of($node, $sql) // $node->safe_psql('postgres', $sql), $seen{$role},
			"$role sees " . $seen{$role});
	}
	return;
}

sub archiving
{
	my $old = $sandbox->pull_id('user_good');
	my %newer = (%{ $sandbox->pull($old) }, pull_id => 'newer', created_at => '2031-01-01T00:00:00.000Z');
	$sandbox->put_pull('newer', \%newer);
	my $not_stored = $sandbox->pull_id('user_adams');
	$node->safe_psql('postgres', "SELECT canopy_fetch_pull('$old'), canopy_fetch_pull('newer')");
	is(shown(), 'newer', 'the views show the newest pull of the account');

	$sandbox->clear_log;
	is($node->safe_psql('postgres', "SELECT canopy_archive_pull('newer')"), 't', 'archiving says what is now');
	is_deeply(
		[ map { $_->{operation} } $sandbox->log ], [ 'patch-pull-by-id', 'get-pull-by-id' ],
		'one change, one fetch');
	is($sandbox->pull('newer')->{is_archived}, JSON::PP::true, 'the pull is archived at the server');
	is(shown(), $old, 'the views show the one before');
	is(versions('newer'), '2|t', 'the archived one has a second version');

	is( $node->safe_psql('postgres', "SELECT canopy_archive_pull('newer', false)"), 'f',
		'a pull can be taken out again');
	is($sandbox->pull('newer')->{is_archived}, JSON::PP::false, 'at the server');
	is(shown(), 'newer', 'and in the views');
	is(versions('newer'), '3|f', 'as a third version');

	$sandbox->clear_log;
	is( $node->safe_psql('postgres', "SELECT canopy_archive_pull('$not_stored')"), 't',
		'a pull that is not stored can be archived');
	is_deeply([ map { $_->{operation} } $sandbox->log ], ['patch-pull-by-id'], 'and is not fetched');
	is(versions($not_stored), '', 'nor stored');

	my %refused = (
		"canopy_archive_pull('missing')" => '02000', 'canopy_archive_pull(NULL)' => '22004',
		"canopy_archive_pull('newer', NULL)" => '22004');
	is(scalar sqlstate_of($node, "SELECT $_"), $refused{$_}, "$_ is refused") for sort keys %refused;
	is( scalar sqlstate_of($node, "SET ROLE pulls_pii; SELECT canopy_archive_pull('newer')"), '42501',
		'it takes an admin');
	is( scalar sqlstate_of($node, "BEGIN READ ONLY; SELECT canopy_archive_pull('newer')"), '25006',
		'and a transaction that writes');
	is(versions('newer'), '3|f', 'nothing has changed by that');
	$sandbox->reset_state;
	return;
}

sub carriers
{
	my $schema = $json->decode(slurp_file(in_checkout('test/sandbox/data/canopy-api.json')))->{schemas}{Carrier};
	my %of_type = (
		string => sub { "text \x{e9} of $_[0]" },
		boolean => sub { JSON::PP::true },
		array => sub { [ "$_[0] 1", "$_[0] 2" ] });
	my %carrier = map { ($_ => $of_type{ $schema->{fields}{$_}{type} }->($_)) } keys %{ $schema->{fields} };
	my %row = map { (snake_case($_) => $carrier{$_}) } keys %carrier;
	my %bare = map { ($_ => undef) } keys %row;
	my $no = JSON::PP::false;

	$sandbox->arm(match => { path => '/carriers/' }, fault => { kind => 'body', body => \%carrier });
	is_deeply([ rows(q{SELECT * FROM canopy_carrier('x')}) ], [ \%row ], 'a carrier has every field of the API');
	$sandbox->arm(
		fault => {
			kind => 'body',
			body => [ \%carrier, {}, { carrier_id => 'third', disablePasswordField => $no, products => 'text' } ] });
	is_deeply(
		[ rows('SELECT * FROM canopy_carriers()') ],
		[ \%row, \%bare, { %bare, carrier_id => 'third', disable_password_field => $no } ],
		'so have all carriers, and what is missing or odd is NULL');

	$sandbox->clear_log;
	my @all = rows('SELECT * FROM canopy_carriers()');
	my @commercial = rows(q{SELECT * FROM canopy_carriers(ARRAY['commercial'])});
	cmp_ok(scalar @commercial, '<', scalar @all, 'products leave fewer');
	is_deeply(
		\@commercial,
		[   grep {
				grep { $_ eq 'commercial' }
				  @{ $_->{products} }
			} @all ],
		'namely those that have them');
	rows(q{SELECT * FROM canopy_carriers(ARRAY['personal', 'commercial'])});
	rows(q{SELECT * FROM canopy_carriers(public_alias => 'sandbox-link')});
	is_deeply(
		[ map { $_->{path} =~ s/^.*carriers//r } $sandbox->log ],
		[ '', '?products=commercial', '?products=personal%2Ccommercial', '?public_alias=sandbox-link' ],
		'filters go into the query');
	is( scalar sqlstate_of($node, q{SELECT canopy_carriers(ARRAY['personal'], 'sandbox-link')}), '22023',
		'both filters are refused');
	is_deeply([ rows(qq{SELECT * FROM canopy_carrier('$all[1]{carrier_id}')}) ], [ $all[1] ], 'one carrier by its id');
	is(scalar sqlstate_of($node, q{SELECT canopy_carrier('nobody')}), '02000', 'an id that is none');
	return;
}

sub terms_and_health
{
	is_deeply(
		[ rows('SELECT * FROM canopy_terms()') ],
		[ { terms_version => 3, terms_html => '<h1>Terms</h1><p>Sandbox terms of service.</p>' } ],
		'the terms and their version');

	my $health = sub { $node->safe_psql('postgres', 'SELECT canopy_health()') };
	is($health->(), 't', 'a healthy API');
	$sandbox->arm(fault => { kind => 'status', status => 500, body => { healthy => JSON::PP::false } });
	is($health->(), 'f', 'an API that answers 500 and says that it is not healthy');
	$sandbox->arm(fault => { kind => 'status', status => 200, body => { healthy => JSON::PP::false } });
	is($health->(), 'f', 'or says so with 200');
	$sandbox->arm(fault => { kind => 'status', status => 500, body => '<html>' });
	is(scalar sqlstate_of($node, 'SELECT canopy_health()'), '08P01', 'a 500 without an answer is an error');
	$sandbox->arm(fault => { kind => 'status', status => 503, body => { healthy => JSON::PP::true } });
	is(scalar sqlstate_of($node, 'SELECT canopy_health()'), '08006', 'so is another status');
	return;
}

sub connect_link
{
	my $origin = $sandbox->base_url =~ s{/api/.*$}{}r;
	my %links = (
		"canopy_connect_link()" => "$origin/c/sandbox-link",
		"canopy_connect_link('my link/\x{e9}?#')" => "$origin/c/my%20link%2F%C3%A9%3F%23",
		"canopy_connect_link('a', NULL)" => "$origin/c/a",
		"canopy_connect_link('a', server => 'plain')" => 'https://app.usecanopy.com/c/a',
		q{canopy_connect_link('a', '{"id": "lead-42", "flag": true, "count": 17, "none": null}')} =>
		  "$origin/c/a?ccmeta-id=lead-42&ccmeta-flag=true&ccmeta-count=17",
		q{canopy_connect_link('a', '{"k": "v"}', 'other')} => "$origin/c/a?ccmeta_k=v",
		qq{canopy_connect_link('a', '{"a key&=": " \x{e9}/?&=#+%"}')} =>
		  "$origin/c/a?ccmeta-a%20key%26%3D=%20%C3%A9%2F%3F%26%3D%23%2B%25",
		q{canopy_connect_link('a', '{"o": {"a": [1, "x"]}}')} =>
		  "$origin/c/a?ccmeta-o=%7B%22a%22%3A%20%5B1%2C%20%22x%22%5D%7D");

	$sandbox->clear_log;
	for my $call (sort keys %links)
	{
		utf8::encode(my $sql = "SELECT $call");
		is($node->safe_psql('postgres', $sql), $links{$call}, encoded($call));
	}
	my ($sqlstate, $message, undef, $hint) = sqlstate_of($node, "SELECT canopy_connect_link(server => 'other')");
	is($sqlstate, '22023', 'a server without alias is refused');
	like($hint, qr/ALTER SERVER other OPTIONS \(ADD public_alias/, 'with a hint that prints the statement');
	is(scalar sqlstate_of($node, "SELECT canopy_connect_link('')"), '22023', 'an empty alias is refused');
	is(scalar sqlstate_of($node, "SELECT canopy_connect_link('a', '[1]')"), '22023', 'metadata must be an object');
	is( scalar sqlstate_of($node, "SET ROLE pulls_fetcher; SELECT canopy_connect_link('a', server => 'plain')"),
		'42501', 'a link takes USAGE on the server');
	is(scalar $sandbox->log, 0, 'no link takes a request');
	return;
}

# What looks personal does not get into a link, an id does.
sub personal_metadata
{
	my @emails = map { $json->encode($_) } 'a@example.com', 'Jo <jo.b+c@mail.example.co>', 'mailto:A@EXAMPLE.ORG';
	my @numbers = (
		(   map { $json->encode($_) } '123-45-6789', '123 45 6789', '123456789', ' 123-45-6789 ', '415-555-2671',
			'(415) 555-2671',
			'+1 (415) 555-2671', '1-415-555-2671', '415.555.2671', '4155552671', '+442071838750'),
		'123456789',
		'4155552671');
	my @ids = (
		(   map { $json->encode($_) } 'lead-42', '1234567', '12345678', '2026-01-31', '01/31/2026',
			'2026-01-31T10:20:30.400Z',
			'8f14e45f-ceea-467f-a1d4-0123456789ab', '12345678-1234-1234-1234-123456789012', 'C-4155552671',
			'user@localhost', '@handle',
			'1767225600', '4155552671234567', '', 'a.b.c'),
		17,
		'1234567',
		'1767225600000',
		'1.5', 'true',
		'null');

	my %nested =
	  map { my $value = $_; ($value => [ qq({"key": $value}), qq({"key": {"deep": ["x", {"deeper": $value}]}}) ]) }
	  @emails, @numbers, @ids;
	my %refusal = refusals('{"a@example.com": 1}', '{"a": {"415-555-2671": 1}}', map { @$_ } values %nested);
	for my $value (@emails, @numbers)
	{
		for my $metadata (@{ $nested{$value} })
		{
			like($refusal{$metadata}, qr/^22023 metadata "key" looks like /, "$metadata is refused by key");
			ok(index($refusal{$metadata}, $value =~ s/^"|"$//gr) < 0, 'and not repeated in the message');
		}
	}
	like($refusal{'{"a@example.com": 1}'}, qr/^22023 (?!.*example)/, 'a personal key is refused');
	like($refusal{'{"a": {"415-555-2671": 1}}'}, qr/^22023 (?!.*415)/, 'at any depth');
	for my $value (@ids)
	{
		is_deeply([ @refusal{ @{ $nested{$value} } } ], [ undef, undef ], "$value passes");
	}
	return;
}

# What metadata is refused with, by metadata: 'SQLSTATE message'.
sub refusals
{
	my $rows = join ', ', map { '(' . CanopyTest::quoted($_) . ')' } @_;
	my $output = $node->safe_psql('postgres', <<~"SQL");
		CREATE FUNCTION pg_temp.refusal(metadata text) RETURNS text LANGUAGE plpgsql AS \$\$
		BEGIN
			PERFORM canopy_connect_link(NULL, metadata::jsonb);
			RETURN NULL;
		EXCEPTION WHEN OTHERS THEN
			RETURN SQLSTATE || ' ' || SQLERRM;
		END
		\$\$;
		SELECT json_object_agg(metadata, pg_temp.refusal(metadata)) FROM (VALUES $rows) AS v(metadata);
		SQL
	return %{ JSON::PP->new->decode($output) };
}

# The ids of a listing; arguments and a statement before it as SQL.
sub list
{
	my ($arguments, $before) = @_;
	my $output = $node->safe_psql('postgres', ($before // '') . " SELECT pull_id FROM canopy_list_pulls($arguments)");
	return split /\n/, $output;
}

# The pages requested since the last call.
sub pages
{
	my @pages = map { $_->{path} =~ /limit=(\d+)&offset=(\d+)/ ? "$1 at $2" : $_->{path} } $sandbox->log;
	$sandbox->clear_log;
	return @pages;
}

# The rows of a query, as Perl data.
sub rows
{
	my ($sql) = @_;
	return @{ $json->decode($node->safe_psql('postgres', "SELECT coalesce(json_agg(q), '[]') FROM ($sql) AS q")) };
}

# The pulls that the views show, of those with policies.
sub shown { return $node->safe_psql('postgres', 'SELECT DISTINCT pull_id FROM canopy.policy ORDER BY 1') }

# Newest version and archived flag of a stored pull.
sub versions
{
	my ($pull_id) = @_;
	return $node->safe_psql('postgres', "SELECT version, is_archived FROM canopy.pull_all WHERE pull_id = '$pull_id'");
}

sub snake_case { my ($name) = @_; $name =~ s/([A-Z])/_\l$1/g; return $name }

sub encoded { my ($text) = @_; utf8::encode($text); return $text }

sub make_roles
{
	$node->safe_psql('postgres', <<~'SQL');
		CREATE ROLE pulls_nobody;
		CREATE ROLE pulls_reader;
		CREATE ROLE pulls_fetcher;
		CREATE ROLE pulls_pii;
		GRANT USAGE ON FOREIGN SERVER canopy TO pulls_nobody, pulls_reader, pulls_fetcher, pulls_pii;
		SELECT canopy_summit.grant_access('pulls_reader', 'reader'),
			canopy_summit.grant_access('pulls_fetcher', 'fetcher'),
			canopy_summit.grant_access('pulls_pii', 'fetcher'), canopy_summit.grant_access('pulls_pii', 'pii_reader');
		SQL
	return;
}
