# CanopyWebhook.pm - webhooks as SQL has them: signed by the database, received, applied, and what they left.
package CanopyWebhook;

use strict;
use warnings;

use CanopyTest;
use Exporter 'import';
use JSON::PP ();

our @EXPORT = qw(create_webhook_servers receive receive_all body_of effects truncate_webhooks encode);

my $json = JSON::PP->new->canonical;

# Servers canopy and summit that nobody answers for, whose owner's mapping has the secret, and
# wh(server, body bytea, age), which signs a body of so long ago and receives it. The tolerance is a day, so that ages
# can be tested.
sub create_webhook_servers
{
	my ($node, $database) = @_;
	$node->safe_psql($database // 'postgres', <<~'SQL');
		SET client_min_messages = error;
		CREATE EXTENSION IF NOT EXISTS canopy_summit;
		CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api
		OPTIONS (environment 'sandbox', base_url 'https://127.0.0.1:9', allow_private_addresses 'true',
			webhook_tolerance '1 day');
		CREATE SERVER summit FOREIGN DATA WRAPPER summit_api
		OPTIONS (environment 'sandbox', base_url 'https://127.0.0.1:9', auth_url 'https://127.0.0.1:9',
			allow_private_addresses 'true', webhook_tolerance '1 day');
		CREATE USER MAPPING FOR CURRENT_USER SERVER canopy
		OPTIONS (client_id 'x', client_secret 'x', webhook_secret 'canopy secret');
		CREATE USER MAPPING FOR CURRENT_USER SERVER summit
		OPTIONS (client_id 'x', client_secret 'x', webhook_secret 'summit secret');
		SELECT canopy_summit.pause_server('canopy'), canopy_summit.pause_server('summit');
		SQL
	create_wh($node, $database);
	return;
}

sub create_wh
{
	my ($node, $database) = @_;
	$node->safe_psql($database // 'postgres', <<~'SQL');
		CREATE FUNCTION wh(server name, body bytea, age interval DEFAULT '0', OUT http_status integer,
			OUT outcome text, OUT webhook_id bigint)
		LANGUAGE sql AS $$
			SELECT r.*
			FROM receive_webhook(wh.server,
				jsonb_build_object(CASE wh.server WHEN 'summit' THEN 'X-Summit-Signature' ELSE 'canopy-signature'
					END,
				sign_webhook(wh.server || ' secret', wh.body, CASE wh.server WHEN 'summit' THEN 'summit'
					ELSE 'canopy' END, clock_timestamp() - wh.age)),
					wh.body) r
		$$;
		SQL
	return;
}

sub encode { return $json->encode($_[0]) }

# A body as an SQL literal: Perl data, or bytes.
sub body_of { my ($body) = @_; return "'\\x" . unpack('H*', ref $body ? $json->utf8->encode($body) : $body) . "'" }

# Receives one; "200 stored". `age` as an interval.
sub receive
{
	my ($node, $server, $body, $age, $database) = @_;
	$age //= '0';
	return $node->safe_psql(
		$database // 'postgres',
		"SELECT http_status || ' ' || outcome FROM wh('$server', " . body_of($body) . ", '$age')");
}

# Receives many, each in a transaction of its own; their outcomes, counted: "stored 5, duplicate 4".
sub receive_all
{
	my ($node, @deliveries) = @_;
	my %outcomes;
	$outcomes{$_}++ for split /\n/,
	  $node->safe_psql(
		'postgres', join '',
		map { "SELECT outcome FROM wh('$_->[0]', " . body_of($_->[1]) . ", '" . ($_->[2] // 0) . "');\n" } @deliveries);
	return join ', ', map { "$outcomes{$_} $_" } sort keys %outcomes;
}

my @tables =
  qw(pull_progress auth_status reconnect monitoring monitoring_event servicing_action servicing_status data_update
  document_validation policy_status status_event certificate);

# Everything that webhooks have left, as text that does not depend on keys or on when they were received.
sub effects
{
	my ($node, $database) = @_;
	return $node->safe_psql(
		$database // 'postgres', join ' UNION ALL ',
		map { <<~"SQL" } @tables) =~ s/^(.*)$/join "\n", sort split m{\n}, $1/ser;
			SELECT '$_ ' || (to_jsonb(t) - '{webhook_id,policy_status_id,upload_id,status_event_id,recorded_at,
				known_from}'::text[])::text
			FROM canopy_summit.$_ t WHERE coalesce(to_jsonb(t) ->> 'known_to', 'infinity') = 'infinity'
			SQL
}

# A worker may have some of the tables and want others of them: then one of the two is ended by a deadlock, and tries
# again.
sub truncate_webhooks
{
	my ($node) = @_;
	my $sql = 'TRUNCATE canopy_summit.webhook, canopy_summit.job, ' . join ', ', map { "canopy_summit.$_" } @tables;
	wait_until('the tables are empty', sub { my ($status) = $node->psql('postgres', $sql); $status == 0 });
	return;
}

1;
