# CanopyAttempt.pm - many statements in one session, and how each of them ended.
package CanopyAttempt;

use strict;
use warnings;

use CanopyTest;
use Exporter 'import';
use JSON::PP ();

our @EXPORT = qw(create_attempt attempts sqlstates);

# Creates attempt(statement text) in the database that attempts() uses.
sub create_attempt
{
	my ($node) = @_;

	$node->safe_psql('postgres', <<~'SQL');
		CREATE FUNCTION attempt(statement text) RETURNS jsonb LANGUAGE plpgsql AS $$
		DECLARE
			answer text;
			detail text;
			hint text;
		BEGIN
			IF statement LIKE 'SELECT%' THEN
				EXECUTE statement INTO answer;
			ELSE
				EXECUTE statement;
			END IF;
			RETURN jsonb_build_object('sqlstate', '00000', 'answer', answer);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			RETURN jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM, 'detail', detail, 'hint', hint);
		END
		$$;
		SQL
	return;
}

# Runs each statement in a subtransaction of its own: { sqlstate, answer } or { sqlstate, message,
# detail, hint } for each. A statement gives one value. `where` is a node or a background session.
sub attempts
{
	my ($where, @statements) = @_;
	my @results;

	# Not more at once than the pipe to a session takes.
	while (my @some = splice @statements, 0, 200)
	{
		my $sql = join '', map { 'SELECT attempt(' . CanopyTest::quoted($_) . ");\n" } @some;
		my $output =
		  $where->isa('PostgreSQL::Test::Cluster') ? $where->safe_psql('postgres', $sql) : $where->query($sql);
		push @results, map { JSON::PP->new->decode($_) } split /\n/, $output;
	}
	return @results;
}

sub sqlstates
{
	return map { $_->{sqlstate} } attempts(@_);
}

1;
