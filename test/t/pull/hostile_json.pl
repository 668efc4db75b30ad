# Whatever bytes the API answers with: are they stored without loss, or refused without harm?
use strict;
use warnings;
use utf8;

use CanopyTest;
use Encode qw(encode decode);
use JSON::PP ();
use MIME::Base64 qw(decode_base64 encode_base64);
use PostgreSQL::Test::Utils;
use ShreddedPull;
use Test::More;

use constant {
	BATCH => 100,
	REPLACEMENT => "\x{FFFD}",
	GROWTH_MAX => 4096, # kB that 10,000 calls may leave behind
};

test_seed();
my $sandbox = start_sandbox(seed => 1);
my $node = new_node(conf => "fsync = off\nautovacuum = off\nmax_wal_size = 4GB");
create_canopy_server($node, $sandbox);

# Bytes of a JSON string, and what it is read as. Each is tried as a value, in a value and in a key.
my %strings = (
	'NUL' => [ '\u0000' => REPLACEMENT ],
	'NUL in a word' => [ 'a\u0000b' => 'a' . REPLACEMENT . 'b' ],
	'high surrogate' => [ '\ud800' => REPLACEMENT ],
	'low surrogate' => [ '\uDFFF' => REPLACEMENT ],
	'surrogates swapped' => [ '\ude00\ud83d' => REPLACEMENT x 2 ],
	'high surrogate before a letter' => [ '\ud83dA' => REPLACEMENT . 'A' ],
	'high surrogate before an escape' => [ '\ud83d\u0041\n' => REPLACEMENT . "A\n" ],
	'high surrogate before a pair' => [ '\ud83d\ud83d\ude00' => REPLACEMENT . "\x{1F600}" ],
	'high surrogate at the end' => [ 'x\udbff' => 'x' . REPLACEMENT ],
	'no UTF-8' => [ "\xff" => REPLACEMENT ],
	'Latin-1' => [ "Zo\xeb" => 'Zo' . REPLACEMENT ],
	'overlong NUL' => [ "\xc0\x80" => REPLACEMENT x 2 ],
	'surrogate in UTF-8' => [ "\xed\xa0\x80" => REPLACEMENT x 3 ],
	'beyond Unicode' => [ "\xf4\x90\x80\x80" => REPLACEMENT x 4 ],
	'truncated character' => [ "a\xe2\x82" => 'a' . REPLACEMENT x 2 ],
	'continuation alone' => [ "\x80x" => REPLACEMENT . 'x' ]);

# Likewise, but jsonb can hold it: nothing is replaced.
my %harmless = (
	'surrogate pair' => [ '\ud83d\ude00\uD83D\uDE00' => "\x{1F600}\x{1F600}" ],
	'escaped backslash' => [ '\\\\u0000' => '\\u0000' ],
	'backslashes' => [ '\\\\\\\\' => '\\\\' ],
	'quoted' => [ '\"\u005c\u0022' => '""' =~ s/""/"\\"/r ],
	'BOM' => [ "\xef\xbb\xbfa\xef\xbb\xbf" => "\x{FEFF}a\x{FEFF}" ],
	'escaped BOM' => [ '\ufeff' => "\x{FEFF}" ],
	'non-characters' => [ '\uffff\ufdd0' => "\x{FFFF}\x{FDD0}" ],
	'control' => [ '\u0001\u001f\u007f' => "\x01\x1f\x7f" ],
	'UTF-8' => [ encode('UTF-8', "ü€\x{1F600}") => "ü€\x{1F600}" ]);

# Numbers that no column holds, which stay the texts they are, and those just within: 100 digits on a side of the point.
my @huge = (
	'1e999', '-1e999', '1e100', '10e99', '0.1e101', '1e-101', '1.5e-100', '0.0e-100', ('1' x 99) . 'e2', '9' x 101,
	'0.' . '7' x 101, '1' . '0' x 600, '0.' . '0' x 600 . '1',
	'1e200000', '-1e-200000', '1E+200000', '1e99999999999999999999', '-1.5e-99999999999999999999', '1e131072',
	'9' x 10_000, '-0.' . '1' x 10_000, '0e200000', '1e1000', '1e-1001', ('1' x 999) . 'e2', '0.0e-1001');
my @large = (
	'1e99', '-1e99', '10e98', '0.1e100', '1e-100', '1.5e-99', '9' x 100, '-0.' . '7' x 100, '1' . '0' x 99,
	'0.' . '0' x 99 . '1', '1E2', '0e0', '0e9999', '0.00e101');

my @cases;
for my $name (sort keys %strings)
{
	my ($bytes, $shown) = @{ $strings{$name} };
	push @cases, stored("$name in a value", qq("first_name":"$bytes"), ['pull.first_name'], [ first_name => $shown ]);
	push @cases, stored(
		"$name in a list in a policy",
		qq("policies":[{"policy_id":"x","name":"ok"},{"policy_id":"y","life":{"notes":["a","<$bytes>"]}}]),
		['pull.policies[].life.notes[]'], [ policies => 1 => life => notes => 1 => "<$shown>" ]);
	push @cases,
	  stored("$name in a key", qq("funnel":{"a$bytes":"v"}), ['pull.funnel'], [ funnel => "a$shown" => 'v' ]);
}
for my $name (sort keys %harmless)
{
	my ($bytes, $shown) = @{ $harmless{$name} };
	push @cases, stored("$name in a value", qq("first_name":"$bytes"), [], [ first_name => $shown ]);
	push @cases, stored("$name in a key", qq("funnel":{"$bytes":1}), [], [ funnel => $shown => 1 ]);
}
for my $number (@huge)
{
	push @cases, stored(
		short($number), qq("policies":[{"policy_id":"x","total_premium_cents":$number}]),
		['pull.policies[].total_premium_cents'], [ policies => 0 => total_premium_cents => $number ]);
}
push @cases, stored(short($_), qq("list":[$_]), [], undef) for @large;
push @cases,
  stored('a key twice', '"first_name":"one","first_name":"two"', [], [ first_name => 'two' ]),
  stored(
	'a key twice, hostile', '"first_name":"\u0000","first_name":"two"', ['pull.first_name'],
	[ first_name => 'two' ]),
  stored(
	'the same key after replacement', '"x":{"a\u0000":1,"a\ud800":2}', ['pull.x'],
	[ x => 'a' . REPLACEMENT() => 2 ]),
  stored('many in one place', '"list":["\u0000","\u0000",1e5000]', ['pull.list[]'], [ list => 2 => '1e5000' ]),
  stored(
	'several places', '"a":"\u0000","b":[{"c":1e5000}],"d\u0000":1', [ 'pull', 'pull.a', 'pull.b[].c' ],
	[ a => REPLACEMENT ]),
  stored(
	'behind a hostile key', '"a\u0000b":{"c":"\u0000"}', [ 'pull', 'pull.<key>.c' ],
	[ 'a' . REPLACEMENT . 'b' => c => REPLACEMENT ]),
  stored('a text that holds JSON', '"meta_data":"{\"a\":\"\u0000\",\"b\":\"\\\\u0000\"}"', ['pull.meta_data'], undef),
  stored('white space', " \t\r\n", [], undef, prefix => " \r\n\t"),
  stored('a BOM before all of it', '"a":1', [], [ a => 1 ], prefix => "\xef\xbb\xbf"),
  stored('a BOM and a NUL', '"a":"\u0000"', ['pull.a'], [ a => REPLACEMENT ], prefix => "\xef\xbb\xbf"),
  stored('1,000 levels', '"a":' . nested(998), [], undef),
  stored('2,000 lists side by side', '"a":[' . join(',', ('[[]]') x 2000) . ']', [], undef);
# One pull with one hostile value in each of many columns.
push @cases,
  stored(
	'a NUL in many fields', join(',', map { qq("field$_":"\\u0000") } 1 .. 150), undef,
	[ field150 => REPLACEMENT ]);

push @cases, map { refused("a $_ in a string", '"first_name":"a' . chr($_) . 'b"') } 0, 1, 9, 10, 13, 31;
push @cases,
  refused('a NUL in a key', qq("a\0b":1)),
  refused('a backslash before a NUL', qq("a":"b\\\0c")),
  refused('a NUL between tokens', qq("a":\0 1)),
  refused('a NUL behind all of it', qq("a":1), suffix => "\0"),
  refused('a BOM between tokens', qq("a":\xef\xbb\xbf1)),
  refused('two documents', qq("a":1), suffix => '{}'),
  refused('more brackets closed than opened', '"a":"\u0000"', suffix => ']' x 100_000 . '[' x 999),
  refused('text behind all of it', qq("a":1), suffix => ' x'),
  map { refused($_, qq("a":$_)) } 'NaN', '1.e999', '-e99999', '[1xe99999]', '01e999', '1-' x 60 . '1', '-Infinity',
  '+1', '01', '1.', '.5', '0x1', '1e', "'a'", '[1,]', '{"b":1,}',
  '{b:1}', '// x', 'TRUE',
  'truee', '"\x"', '"\u12"', '"\u12g4"', '"\ud83d\u12"', '"unfinished', '[1 2]', '{"b" 1}', '{1:2}', '{null:1}', ',',
  '', ']', '}}', "1\xff", "\xff1";
push @cases,
  map { answered("the answer " . short($_), $_, '08P01') } '', ' ', "\0", "\xef\xbb\xbf", 'null', 'true', '1',
  '1e5000', '"\u0000"', '[]', '{}', '[{"pull_id":"x"}]',
  '<!DOCTYPE html><html><body>Sign in</body></html>', '{"success":true}', '{"success":true,"pull":null}',
  '{"success":true,"pull":[]}',
  '{"success":true,"pull":{}}', '{"success":true,"pull":{"pull_id":"another"}}',
  '{"success":true,"pull":{"pull_id":null}}', '{"success":false,"pull":{"pull_id":"%"}}',
  '{"success":true,"pull":{"pull_id":"%"}', '{"success":true,"pull":{"pull_id":"%\u0000"}}', '{"pull_id":"%', '{', '[',
  '"', '\\', ']' x 1000, '{"a":"\u0000"}' . ']' x 500 . '[' x 999;
push @cases,
  answered('1,001 levels', '{"success":true,"pull":{"pull_id":"%","a":' . nested(999) . '}}', '54000'),
  answered('2,000 levels', '{"success":true,"pull":{"pull_id":"%","a":' . nested(1998) . '}}', '54000'),
  answered(
	'2,000 levels of objects',
	'{"success":true,"pull":{"pull_id":"%","a":' . '{"a":' x 1998 . '"\u0000"' . '}' x 1998 . '}}', '54000'),
  answered('a million brackets', '[' x 1_000_000, '54000'),
  answered('a million brackets behind others', '{"a":"\u0000"}' . ']' x 1_000_000 . '[' x 1_000_000, '08P01');
$cases[$_]{pull_id} = "case-$_" for 0 .. $#cases;
$_->{body} = ($_->{body} =~ s/%/$_->{pull_id}/r) for @cases;

my @outcomes = fetch(@cases);
is(scalar @outcomes, scalar @cases, 'the server outlives all of it');
my %versions = versions();
for my $i (0 .. $#cases)
{
	check($cases[$i], $outcomes[$i] // { sqlstate => 'none' });
}
is( $node->safe_psql('postgres', 'SELECT count(*) FROM canopy_summit.pull_state'), scalar(grep { $_->{stored} } @cases),
	'nothing else is stored');
is( $node->safe_psql('postgres', <<~'SQL'),
	SELECT kind, min(path) FROM canopy_summit.schema_drift WHERE kind = 'replaced' AND path = 'pull.first_name'
	GROUP BY kind
	SQL
	'replaced|pull.first_name', 'the view of the drift shows what was replaced');
same_after_remap('hostile pulls');

# A value that was replaced is as good a state as any: the same bytes again are no new version.
my ($again) = grep { $_->{stored} && @{ $_->{replaced} // [] } } @cases;
my ($outcome) = fetch($again);
is($outcome->{version} . $outcome->{changed}, '1f', 'the same hostile bytes again are no new version');

as_postgres_reads(scaled(20_000));
fuzz(scaled(2000));
check_memory();
unlike(slurp_file($node->logfile), qr/XX000|PANIC|terminated by signal/, 'no internal error and no crash in the log');

done_testing();

# A case that is stored: name, fields of the pull as bytes, paths replaced (undef = any), keys to a value and the value.
sub stored
{
	my ($name, $fields, $replaced, $shown, %affixes) = @_;
	my $separator = $fields =~ /^\s*$/ ? '' : ',';
	return {
		name => $name,
		stored => 1,
		body => ($affixes{prefix} // '') . qq({"success":true,"pull":{"pull_id":"%"$separator$fields}}),
		replaced => $replaced,
		shown => $shown };
}

# A case that is not JSON, by the fields of a pull.
sub refused
{
	my ($name, $fields, %affixes) = @_;
	return answered(
		short($name), qq({"success":true,"pull":{"pull_id":"%",$fields}}) . ($affixes{suffix} // ''),
		'08P01');
}

# A case that is an error, by all of the answer.
sub answered
{
	my ($name, $body, $sqlstate) = @_;
	return { name => $name, body => $body, sqlstate => $sqlstate };
}

sub nested { my ($depth) = @_; return '[' x $depth . ']' x $depth }

sub short { my ($text) = @_; return length $text > 40 ? substr($text, 0, 30) . '… (' . length($text) . ')' : $text }

# Answers each fetch with its case's body: { sqlstate, message, version, changed } each, as far as the server lives.
sub fetch
{
	my @outcomes;

	while (my @batch = splice @_, 0, BATCH)
	{
		my $script = "\\set VERBOSITY terse\n";
		$sandbox->clear;
		for my $case (@batch)
		{
			$sandbox->arm(
				match => { path => '/pulls/' },
				fault => { kind => 'body', body => { base64 => encode_base64($case->{body}, '') } });
			$script .= <<~"END";
				\\set version -
				\\set changed -
				SELECT version, changed FROM canopy_fetch_pull('$case->{pull_id}') \\gset
				\\echo outcome :SQLSTATE :version :changed :LAST_ERROR_MESSAGE
				END
		}
		my (undef, $stdout) = $node->psql('postgres', $script, on_error_die => 0, on_error_stop => 0);
		while ($stdout =~ /^outcome (\w{5}) (\S+) (\S+) ?(.*)$/mg)
		{
			push @outcomes, { sqlstate => $1, version => $2, changed => $3, message => $1 eq '00000' ? '' : $4 };
		}
	}
	return @outcomes;
}

# What is stored, by pull.
sub versions
{
	my $stored = read_json($node->safe_psql('postgres', <<~'END'));
		SELECT jsonb_object_agg(pull_id,
			jsonb_build_object('pull', pull, 'replaced', drift -> 'replaced', 'received',
				encode(received, 'base64')))
		FROM canopy_summit.pull_version WHERE version = 1;
		END
	return %$stored;
}

sub check
{
	my ($case, $outcome) = @_;
	my $name = $case->{name} =~ s/[^\x20-\x7e\x{2026}]/?/gr =~ s/\x{2026}/.../r;
	my $stored = $versions{ $case->{pull_id} };

	if (!$case->{stored})
	{
		is( "$outcome->{sqlstate} " . (defined $stored ? 'stored' : 'not stored'), "$case->{sqlstate} not stored",
			"$name: refused");
		return;
	}
	is($outcome->{sqlstate}, '00000', "$name: stored") or do { diag($outcome->{message}); return };
	is_deeply(
		[ sort @{ $stored->{replaced} // [] } ], [ sort @{ $case->{replaced} } ],
		"$name: what was replaced is drift") if $case->{replaced};
	my $received = defined $stored->{received} ? decode_base64($stored->{received}) : undef;
	ok(defined $received && $received eq $case->{body}, "$name: the bytes received are kept")
	  if @{ $case->{replaced} // [1] };
	is($received, undef, "$name: no bytes are kept") if $case->{replaced} && !@{ $case->{replaced} };
	return if !$case->{shown};
	my @keys = @{ $case->{shown} };
	my $wanted = pop @keys;
	my $value = $stored->{pull};
	$value = ref $value eq 'ARRAY' ? $value->[$_] : $value->{$_} for @keys;
	is($value, $wanted, "$name: it is readable");
	return;
}

# Rows of every entity table, by pull, as a digest.
sub digests
{
	my $digests = $node->safe_psql('postgres', <<~'END');
		CREATE OR REPLACE FUNCTION digests() RETURNS TABLE (id text, digest text) LANGUAGE plpgsql AS $$
		BEGIN
			CREATE TEMP TABLE shown (id text, line text);
			FOR id IN SELECT canopy_summit.entities() LOOP
				EXECUTE format('INSERT INTO shown SELECT pull_id, %L || e::text FROM canopy_summit.%I e', id, id);
			END LOOP;
			RETURN QUERY SELECT s.id, md5(string_agg(line, ' ' ORDER BY line COLLATE "C")) FROM shown s GROUP BY s.id;
		END;
		$$;
		SELECT * FROM digests();
		END
	return map { split /\|/ } split /\n/, $digests;
}

sub same_after_remap
{
	my ($what) = @_;
	my %before = digests();
	my $task = $node->safe_psql('postgres', 'SELECT canopy_remap()');
	$node->safe_psql('postgres', 'CALL canopy_summit.run_tasks()');
	my $pulls =
	  $node->safe_psql('postgres', "SELECT done FROM canopy_summit.progress WHERE task_id = $task AND state = 'done'");
	my %after = digests();

	is( $pulls, $node->safe_psql('postgres', 'SELECT count(*) FROM canopy_summit.pull_state'),
		"$what: all are mapped again");
	is_deeply(\%after, \%before, "$what: to the same rows");
	return;
}

# Random changes to the bytes, and to the values, of valid pulls: stored with nothing lost, or refused as documented.
sub fuzz
{
	my ($count) = @_;
	my @bases = map { $sandbox->{http}->get("$sandbox->{ready}{control_url}/pull/" . $sandbox->pull_id($_))->{content} }
	  qw(user_good_auto user_good_home user_good_whole_life user_consumer_only);
	my (@cases, %sqlstates, @odd, @lost);

	for my $i (1 .. $count)
	{
		my $pull_id = "fuzz-$i";
		my $base = $bases[ rand @bases ] =~ s/"pull_id":"[^"]*"/"pull_id":"$pull_id"/r;
		my $mutant = $i % 2 ? mutate_values($base) : mutate_bytes($base);
		push @cases, { pull_id => $pull_id, body => qq({"success":true,"pull":$mutant}) };
	}
	my @outcomes = fetch(@cases);
	is(scalar @outcomes, $count, "$count fetches of random answers end") or return;
	for my $i (0 .. $#cases)
	{
		my $sqlstate = $outcomes[$i]{sqlstate};
		$sqlstates{$sqlstate}++;
		push @odd, "$sqlstate $outcomes[$i]{message}: " . encode_base64($cases[$i]{body}, '')
		  if $sqlstate !~ /^(?:00000|08P01)$/ && !($sqlstate eq '54000' && $outcomes[$i]{message} =~ /nested/);
	}
	is_deeply(\@odd, [], 'each is stored, or no JSON or no such pull');
	diag(join ', ', map { "$_: $sqlstates{$_}" } sort keys %sqlstates);
	cmp_ok($sqlstates{'00000'}, '>', $count / 4, 'many are stored');
	cmp_ok($sqlstates{'08P01'}, '>', $count / 20, 'and many are not');
	my %stored = versions();
	my $rows = entity_rows($node);
	for my $pull_id (grep { /^fuzz-/ } sort keys %stored)
	{
		my @problems = problems_of($stored{$pull_id}{pull}, $rows->{pulls}{$pull_id} // {}, $rows->{types});
		push @lost, "$pull_id: @problems" if @problems;
	}
	is_deeply(\@lost, [], 'of what is stored nothing is lost on the way to its rows');
	same_after_remap('random pulls');
	return;
}

sub mutate_bytes
{
	my ($bytes) = @_;
	my @interesting = (
		"\0", "\xff", "\xc3", '"', '\\', '\u0000', '\ud800', '{', '}', '[', ']', ':', ',', '1e99999', '-', 'null', "\n",
		'[[[[', ']]]]', '/*', '0');

	for (1 .. 1 + int rand 3)
	{
		my $at = int rand length $bytes;
		my $kind = int rand 5;
		if ($kind == 0) { substr($bytes, $at, 1) = chr rand 256 }
		elsif ($kind == 1) { substr($bytes, $at, 0) = $interesting[ rand @interesting ] }
		elsif ($kind == 2) { substr($bytes, $at, 1 + rand 20) = '' }
		elsif ($kind == 3) { substr($bytes, $at, 0) = substr($bytes, rand length $bytes, rand 200) }
		else { $bytes = substr($bytes, 0, $at) if rand() < 0.2 }
	}
	return $bytes;
}

# Another value, or another key, in random places; it stays JSON.
sub mutate_values
{
	my ($bytes) = @_;
	my @tokens = $bytes =~ /("[^"\\]*+(?:\\.[^"\\]*+)*+"\s*:?|[^\s"\[\]{},:]+|[\[\]{},])/g;
	my @keys = grep { /:$/ } @tokens;

	for (1 .. 1 + int rand 10)
	{
		my $at = int rand @tokens;
		if ($tokens[$at] =~ /:$/)
		{
			$tokens[$at] = rand() < 0.5 ? $keys[ rand @keys ] : random_string() . ':' if $tokens[$at] ne '"pull_id":';
		}
		elsif ($tokens[$at] =~ /^[\[{]$/)
		{
			splice @tokens, $at, 0,
			  ($tokens[$at] eq '[' || $tokens[ $at - 1 ] =~ /^[\[,]$/ ? (random_json(2), ',') : ())
			  if $at > 0 && $tokens[ $at - 1 ] !~ /:$/;
		}
		elsif ($tokens[$at] !~ /^[\]},]$/ && $tokens[ $at - 1 ] ne '"pull_id":') { $tokens[$at] = random_json(3) }
	}
	return join '', @tokens;
}

sub random_string
{
	my @texts = (
		'', 'a', 'policies', 'life', 'funnel', 'premium', 'server', 'extra', 'ordinal', 'pull_id', 'declared_pull_id',
		'Ü', '\u0000', '\ud800', 'x\\"y', ' ', 'x' x 300);
	return '"' . $texts[ rand @texts ] . '"';
}

sub random_json
{
	my ($depth) = @_;
	my @scalars = (
		'null', 'true', 'false', '0', '-1', '1.5', '1e3', '99999999999999999999', '1e400', '1e5000', '"7"', '"7.00"',
		'"2025-11-01"', '"2025-11-01T05:00:00.000Z"',
		'"11/01/2025"', '"soon"', '"true"', '"{\"a\":[1]}"', '"{"', '"NaN"');
	my $kind = int rand 10;

	return '[' . join(',', map { random_json($depth - 1) } 1 .. rand 4) . ']' if $kind == 0 && $depth > 0;
	return '{' . join(',', map { random_string() . ':' . random_json($depth - 1) } 1 .. rand 4) . '}'
	  if $kind == 1 && $depth > 0;
	return random_string() if $kind == 2;
	return $scalars[ rand @scalars ];
}

# JSON that jsonb can hold, written in any way, or what was some: ours is what PostgreSQL makes of it, or nothing.
sub as_postgres_reads
{
	my ($count) = @_;
	my @texts = map { $_ % 2 ? any_container(5) : broken(any_container(5)) } 1 .. $count;
	my $values = join ',', map { '(' . CanopyTest::quoted($_) . ')' } @texts;

	is($node->safe_psql('postgres', <<~"SQL"), "$count|", "$count random texts are read as PostgreSQL reads them");
		SET standard_conforming_strings = on;
		CREATE FUNCTION pg_temp.theirs(text text) RETURNS jsonb LANGUAGE plpgsql AS
			'BEGIN RETURN text::jsonb; EXCEPTION WHEN invalid_text_representation THEN RETURN NULL; END';
		WITH read AS MATERIALIZED (
			SELECT t.text, canopy_summit.nested_json(t.text) AS ours,
				CASE WHEN t.text ~ '^\\s*[[{]' THEN pg_temp.theirs(t.text) END AS theirs
			FROM (VALUES $values) AS t(text))
		SELECT count(*), min(r.text) FILTER (WHERE r.ours IS DISTINCT FROM r.theirs OR r.ours::text <> r.theirs::text)
		FROM read r
		SQL
	return;
}

# Something left out, or too much; but no number that is too large, and no half of a surrogate pair, which become other
# JSON.
sub broken
{
	my ($text) = @_;
	my @pieces = ('', '', '', '"', '\\', '{', '}', '[', ']', ':', ',', '-', '.', 'e', '1', '01', 'null', '1-' x 60);
	my $at = 1 + int rand length($text) - 1;
	my $broken = $text;

	substr($broken, $at, int rand 3, $pieces[ rand @pieces ]);
	return $text =~ /\\u/ || $broken =~ /[eE][-+]?\d{2}/ ? $text : $broken;
}

sub any_container
{
	my ($depth) = @_;
	my $count = int rand 6;
	my $space = sub {
		return join '', map { (' ', "\n", "\t", "\r")[ rand 4 ] } 1 .. rand 3;
	};
	my $value = sub {
		return any_container($depth - 1) if $depth > 0 && rand() < 0.4;
		return (
			any_string(), 'null', 'true', 'false', '0', '-0', '-1.50', '1e3', '12E-2', '0.0',
			'99999999999999999999')[ rand 11 ];
	};
	my $is_object = rand() < 0.6;
	my @members = map { $space->() . $_ . $space->() }
	  map { ($is_object ? any_string() . $space->() . ':' . $space->() : '') . $value->() } 1 .. $count;
	my ($open, $close) = $is_object ? ('{', '}') : ('[', ']');

	return $space->() . $open . (@members ? join(',', @members) : $space->()) . $close . $space->();
}

# Few letters, so that keys are often equal, and whatever is a token elsewhere.
sub any_string
{
	my @pieces = (
		'a', 'b', 'ab', 'Z', ' ', ':', ',', '{', '}', '[', ']', 'é', '\\"', '\\\\', '\\/', '\\n', '\\u00e9', '\\u0022',
		'\\u005c', '\\ud83d\\ude00', 'x' x 130);
	return '"' . join('', map { $pieces[ rand @pieces ] } 1 .. rand 4) . '"';
}

# Memory of the server process: none is kept call by call.
sub check_memory
{
	my $rss = q{substring(pg_read_file('/proc/self/status') from 'RssAnon:\s+(\d+)')::int};
	my $store = sub {
		my ($pull_id) = @_;
		return <<~"END";
			canopy_store_pull(jsonb_build_object('pull_id', $pull_id, 'status', 'S' || i, 'unknown', i, 'policies',
				jsonb_build_array(
				jsonb_build_object('policy_id', 'p', 'total_premium_cents', i, 'vehicles',
					jsonb_build_array(jsonb_build_object('vehicle_id', 'v', 'year', 'x'))))),
				fetched_at => timestamptz '2020-01-01' + i * interval '1 s')
			END
	};
	my ($again, $new) = map { $store->($_) } q{'often' || i % 5}, q{'often' || i};
	my ($before, $between, $after) = split /\n/, $node->safe_psql('postgres', <<~"END");
		CREATE PROCEDURE store(low int, high int) LANGUAGE plpgsql AS \$\$
		BEGIN
			FOR i IN low .. high LOOP
				PERFORM $again;
				COMMIT;
			END LOOP;
		END;
		\$\$;
		CALL store(1, 500);
		SELECT count(changed) AS stored FROM generate_series(501, 1000) i, LATERAL $new \\gset
		SELECT $rss;
		CALL store(1001, 6000);
		SELECT $rss;
		SELECT count(changed) AS stored FROM generate_series(6001, 11000) i, LATERAL $new \\gset
		SELECT $rss;
		END
	is($node->safe_psql('postgres', <<~'SQL'), 11_000, '10,000 calls store 10,000 states');
		SELECT count(*) FROM canopy_summit.pull_version WHERE pull_id LIKE 'often%'
		SQL
	cmp_ok($between - $before, '<=', GROWTH_MAX, 'half of them each in a transaction, keeping no memory');
	cmp_ok($after - $between, '<=', GROWTH_MAX, 'half of them in one statement, likewise');
	diag("10,000 calls: " . ($after - $before) . ' kB more');
	return;
}
