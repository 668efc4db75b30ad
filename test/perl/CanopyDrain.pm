# CanopyDrain.pm - uploads that drain while processes stand still or die: enqueued, counted, and all of them checked.
package CanopyDrain;

use strict;
use warnings;

use CanopyTest;
use CanopyUpload;
use Test::More ();

my $unsent = q{FROM canopy_summit.job WHERE operation = 'upload-policy' AND state IN ('queued', 'running')};

# A node with workers, which loses what it commits without waiting for the disk, and a server for the sandbox's Summit.
sub new
{
	my ($class) = @_;
	my $sandbox = start_sandbox();
	my $node = new_node(conf => <<~'END');
		shared_preload_libraries = 'canopy_summit'
		restart_after_crash = on
		log_statement = none
		log_min_messages = fatal
		wal_writer_delay = 10s
		canopy_summit.max_in_flight = 16
		END
	my $self = bless { node => $node, sandbox => $sandbox, uploads => 0 }, $class;

	create_summit_server($node, $sandbox);
	$node->safe_psql(
		'postgres',
		'CREATE FUNCTION payload(number integer) RETURNS jsonb LANGUAGE sql AS $$'
		  . q{SELECT jsonb_set('}
		  . payload('x')
		  . q{', '{policy,policy_number}', to_jsonb('POL-' || number))$$});
	return $self;
}

# A value, or undef while the server does not answer.
sub answer
{
	my ($self, $sql) = @_;
	my ($status, $stdout) =
	  eval { $self->{node}->psql('postgres', $sql) }; # which dies if psql leaves before it has read
	return defined $status && $status == 0 ? $stdout : undef;
}

# More uploads, each of a policy of its own.
sub enqueue
{
	my ($self, $count) = @_;
	my ($first, $last) = ($self->{uploads} + 1, $self->{uploads} + $count);
	wait_until(
		'uploads are enqueued',
		sub {
			defined $self->answer(<<~"SQL");
				SET client_min_messages = error;
				SELECT count(summit_upload_policy(payload(n))) FROM generate_series($first, $last) n
				SQL
		});
	$self->{uploads} = $last;
	return;
}

# Checks, once all are sent, that none was lost or sent as two; `name` is what has happened meanwhile.
sub all_uploaded
{
	my ($self, $name) = @_;
	my $uploads = $self->{uploads};

	wait_until(
		"all is sent after $name",
		sub { my $left = $self->answer("SELECT count(*) $unsent"); defined $left && $left == 0 }, 300);
	Test::More::is($self->answer(<<~'SQL'), '', "$name: every upload is accepted or verified");
		SELECT string_agg(DISTINCT status, ' ' ORDER BY status) FROM summit.upload
		WHERE status NOT IN ('verified', 'accepted')
		SQL
	Test::More::is($self->answer(<<~'SQL'), "$uploads|$uploads|$uploads", "$name: and there");
		SELECT count(*), count(DISTINCT policy_number), count(DISTINCT idempotency_key) FROM summit.upload
		SQL

	my $keys = wait_until('keys are read', sub { $self->answer(<<~'SQL') });
		SELECT string_agg(policy_number || ' ' || idempotency_key, ',') FROM summit.upload
		SQL
	my %key = map { split ' ' } split /,/, $keys;
	my (%effects, %keys_of);
	for my $row (effect_rows($self->{sandbox}))
	{
		$effects{ $row->{policy_number} } += $row->{effects};
		$keys_of{ $row->{policy_number} }{ $row->{idempotency_key} } = $row->{bodies};
	}
	Test::More::is(scalar(grep { !$effects{$_} } keys %key), 0, "$name: none is lost");
	Test::More::is(scalar(grep { $effects{$_} > 1 } keys %effects), 0, "$name: none has two effects");
	Test::More::is(
		scalar(grep { my $key = $key{$_}; join(' ', %{ $keys_of{$_} // {} }) ne "$key 1" } keys %key), 0,
		"$name: each was sent with its one key and one body");
	return;
}

1;
