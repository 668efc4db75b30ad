# Does a webhook pass that differs in anything from what was signed, and how long does hostile input take?
use strict;
use warnings;

use CanopyTest;
use Digest::SHA qw(hmac_sha256_hex);
use Encode qw(encode_utf8);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = test_seed();
my $node = new_node();
my @secrets = ('canopy secret/+=', "s\x{e9}cret");
my $now = 1_750_000_000;

$node->safe_psql('postgres', <<~"SQL");
	CREATE EXTENSION canopy_summit;
	CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox', webhook_tolerance '5min');
	CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (webhook_secret '$secrets[0]');
	CREATE TABLE delivery (number integer, kind text, header text, body bytea);
	SQL

# What was sent, signed by this test's own hand.
sub valid
{
	my $body = join '', '{"event_type":"COMPLETE","pull_id":"', (map { chr(97 + int rand 26) } 1 .. 1 + rand 20),
	  '","data":{"x":"', (map { chr(int rand 256) } 1 .. rand 200), '"}}';
	my $time = $now + int(rand 601) - 300;
	my $name = rand() < 0.5 ? 's' : 'v1';
	return {
		time => $time, name => $name, body => $body,
		digest => hmac_sha256_hex("$time.$body", encode_utf8($secrets[0])) };
}

sub header { my ($delivery) = @_; return "t=$delivery->{time},$delivery->{name}=$delivery->{digest}" }

sub flip_bit { my ($text) = @_; my $bit = int rand 8 * length $text; vec($text, $bit, 1) ^= 1; return $text }
sub place { my ($text, $part) = @_; substr($text, int rand(1 + length $text), 0) = $part; return $text }
sub cut { my ($text) = @_; return substr $text, 0, int rand length $text }

my @digits = map { chr(0x660 + $_) } 0 .. 9; # Arabic-Indic
my %mutations = (
	'bit of the body' => sub { $_[0]{body} = flip_bit($_[0]{body}) },
	'byte more in the body' => sub { $_[0]{body} = place($_[0]{body}, chr int rand 256) },
	'shorter body' => sub { $_[0]{body} = cut($_[0]{body}) },
	'bit of the header' =>
	  sub { my ($d) = @_; $d->{header} = flip_bit(header($d)); $d->{header} =~ s/[\0\x80-\xff]/?/g },
	'shorter header' => sub { $_[0]{header} = cut(header($_[0])) },
	'hex digit' => sub {
		my ($d) = @_;
		my $i = int rand 64;
		substr($d->{digest}, $i, 1) = sprintf '%x', hex(substr $d->{digest}, $i, 1) ^ 1 + int rand 15;
	},
	'no hex digit' => sub { substr($_[0]{digest}, rand 64, 1) = (split //, 'gGxlIO-+. _:/`@')[ rand 15 ] },
	'63 or 65 digits' => sub { $_[0]{digest} = rand() < 0.5 ? substr $_[0]{digest}, 1 : "$_[0]{digest}0" },
	'white space' =>
	  sub { my ($d) = @_; $d->{header} = place(header($d), (' ', "\t", "\n", "\r\n", "\x{a0}", "\x{3000}")[ rand 6 ]) },
	'unicode digit' => sub { $_[0]{time} =~ s/(\d)(?=\d{0,5}$)/$digits[$1]/ },
	'unicode hex' => sub { my $i = int rand 64; substr($_[0]{digest}, $i, 1) = chr(0xff10 + $i % 10) },
	'another time' => sub { $_[0]{time} += (1, -1, 10, 86400, -86400)[ rand 5 ] },
	'written otherwise' => sub {
		my $t = $_[0]{time};
		$_[0]{time} = ("+$t", "-$t", "0$t", "$t.0", "${t}e0", sprintf('0x%x', $t), "$t ", '')[ rand 8 ];
	},
	'huge time' => sub {
		$_[0]{time} = (
			2**31, '9223372036854775807', '9223372036854775808', '18446744073709551616' + 0, '9' x 100, '1' . '0' x 30,
			$_[0]{time} . '0', '0')[ rand 8 ];
	},
	'time twice' => sub { my ($d) = @_; $d->{header} = (rand() < 0.5 ? "t=$d->{time}," : 't=1,') . header($d) },
	'time twice, later' => sub { my ($d) = @_; $d->{header} = header($d) . ",t=$d->{time}" },
	'empty parts' => sub { my ($d) = @_; $d->{header} = (',', '', ',,')[ rand 3 ] . header($d) . ',' },
	'another name' => sub { $_[0]{name} = ('S', 'V1', 'v2', 'v0', 'ss', '', 'sig', 'v1v1')[ rand 8 ] },
	'another separator' => sub { my ($d) = @_; $d->{header} = header($d) =~ s/,/(';', '&', ' ', "\n")[rand 4]/er },
	'many signatures' =>
	  sub { my ($d) = @_; $d->{header} = "t=$d->{time}," . "s=$d->{digest}," x 10 . "s=$d->{digest}" },
	'dot moved' => sub { my ($d) = @_; $d->{body} = chop($d->{time}) . ".$d->{body}" },
	'body of another' => sub { $_[0]{body} = valid()->{body} . ' ' },
	'another secret' => sub {
		my ($d) = @_;
		$d->{digest} = hmac_sha256_hex(
			"$d->{time}.$d->{body}",
			(encode_utf8($secrets[1]), '', $secrets[0] . ' ', "$secrets[0]\0x")[ rand 4 ]);
	},
	'no dot' => sub { my ($d) = @_; $d->{digest} = hmac_sha256_hex("$d->{time}$d->{body}", $secrets[0]) });

mutations(scaled(10_000));
enormous();
through_the_inbox();
done_testing();

sub mutations
{
	my ($count) = @_;
	my @kinds = sort keys %mutations;
	my $file = PostgreSQL::Test::Utils::tempdir('deliveries') . '/deliveries';

	open my $out, '>:utf8', $file or die "could not write $file: $!";
	for my $number (1 .. $count)
	{
		my $delivery = valid();
		my $kind = $kinds[ $number % @kinds ];
		my $before = header($delivery) . "\0$delivery->{body}";
		$mutations{$kind}->($delivery);
		my $header = $delivery->{header} // header($delivery);
		# Blanks around a part are passed over.
		my $plain = join ',', map { s/^[ \t]+//r =~ s/[ \t]+$//r } split /,/, $header, -1;
		redo if lc "$plain\0$delivery->{body}" eq lc $before;
		(my $escaped = $header) =~ s/([\\\t\n\r])/sprintf '\\x%02x', ord $1/ge;
		print $out join("\t", $number, $kind, $escaped, '\\\\x' . unpack('H*', $delivery->{body})), "\n";
	}
	# The control group: as they were sent, or but for the case of the digits.
	for my $number (1 .. 200)
	{
		my $delivery = valid();
		$delivery->{digest} =~ s/([a-f])/rand() < 0.5 ? uc $1 : $1/ge if $number % 2;
		my $header = header($delivery);
		$header =~ s/^|,|$/' ' x int(rand 3) . $& . ' ' x int rand 3/ge if $number % 4 == 0;
		print $out join("\t", -$number, 'valid', $header, '\\\\x' . unpack('H*', $delivery->{body})), "\n";
	}
	close $out;
	$node->safe_psql('postgres', "\\copy delivery FROM '$file'");

	my $start = time;
	my $verify = "verify_webhook_sig(ARRAY['other', '$secrets[0]'], header, body, '5 min', to_timestamp($now))";
	is($node->safe_psql('postgres', <<~"SQL"), "$count|$count", "$count mutations, and an answer to each");
		SELECT count(*), count($verify) FROM delivery WHERE kind <> 'valid'
		SQL
	is($node->safe_psql('postgres', <<~"SQL"), '', 'none is accepted');
		SELECT number, kind, header FROM delivery WHERE kind <> 'valid' AND $verify ORDER BY 1 LIMIT 10
		SQL
	is( $node->safe_psql('postgres', "SELECT count(*) FROM delivery WHERE kind = 'valid' AND $verify"), '200',
		'those that differ in nothing but the case of hex digits and blanks around parts are');
	is($node->safe_psql('postgres', "SELECT count(DISTINCT kind) FROM delivery"), 1 + @kinds, 'of every kind');
	is($node->safe_psql('postgres', <<~'SQL'), '', 'and explained');
		SELECT number FROM delivery
		WHERE kind <> 'valid' AND explain_webhook_sig('x', header, body, '5 min', to_timestamp(0)) = 'valid'
		SQL
	cmp_ok(time - $start, '<', 30, 'in time');
	return;
}

# Headers and bodies of a size that nobody sends.
sub enormous
{
	for my $header (
		"repeat('s=' || repeat('0', 64) || ',', 16000)", "repeat(',', 1048576)", "repeat('=', 1048576)",
		"repeat('t=1,', 262144)", "'t=' || repeat('1', 1048576)", "'t=1750000000,s=' || repeat('a', 1048576)",
		"'t=1750000000,x=' || repeat('y', 1048576) || ',s=' || repeat('a', 64)")
	{
		my $seconds = $node->safe_psql('postgres', <<~"SQL");
			CREATE TEMP TABLE h AS SELECT $header AS header;
			SELECT extract(epoch FROM clock_timestamp() - s) + count(*) FILTER (WHERE v)
			FROM (SELECT clock_timestamp() AS s OFFSET 0) AS s,
				LATERAL (SELECT verify_webhook_sig('x', header, 'b'::bytea) AS v
					FROM h, generate_series(1, 20)) AS v
					GROUP BY s
			SQL
		cmp_ok($seconds, '<', SOON, "1 MB of header is refused at once: $header");
	}
	return;
}

# The inbox verifies by the same rules: a sample of each kind, none stored.
sub through_the_inbox
{
	my $received = <<~'SQL';
			SELECT outcome, http_status, count(*)
			FROM (SELECT kind, r.*
				FROM (SELECT *, row_number() OVER (PARTITION BY kind ORDER BY number) AS n FROM delivery) d,
			LATERAL receive_webhook('canopy', jsonb_build_object('Canopy-Signature', header), body) r
				WHERE n <= 10 AND %s) x
		GROUP BY 1, 2
		SQL
	my $kinds = keys %mutations;
	# Both have become of today: signed by the time in them, which is long ago.
	is( $node->safe_psql('postgres', sprintf $received, "kind <> 'valid'"), 'bad_signature|401|' . 10 * $kinds,
		'the inbox refuses them, too');
	is( $node->safe_psql('postgres', sprintf $received, "kind = 'valid'"), 'bad_signature|401|10',
		'and what is valid but old');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM canopy_summit.webhook'), '0', 'and stores nothing of them');
	is($node->safe_psql('postgres', <<~"SQL"), '200|stored', 'what is new is stored');
		SELECT http_status, outcome
		FROM receive_webhook('canopy',
			jsonb_build_object('canopy-signature', sign_webhook('$secrets[0]', '{"event_type": "X"}'::text)),
			'{"event_type": "X"}')
		SQL
	return;
}
