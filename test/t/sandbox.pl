# Does the sandbox do what its README says?
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

command_ok([ 'python3', 'test/sandbox/selftest.py' ], 'every self-test of the sandbox');
done_testing();
