# canopy_summit - build, install and test. PGXS does the first two; test/ has a script for each
# other target. The file also parses where PostgreSQL is not installed yet, because `make demo`
# and `make test` install it.

EXTENSION = canopy_summit
# Where this file is; objects and the install script are made in the directory where make runs.
here := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(here)/$(EXTENSION).control)
MODULE_big = canopy_summit
OBJS = $(patsubst $(here)/%.c,%.o,$(sort $(wildcard $(here)/src/*.c $(here)/src/*/*.c)))

# The install script, in the order in which CREATE EXTENSION runs its parts: what only a migration changes (*_state),
# then what an upgrade script replays. src/sql/README.md says what goes where.
SQL_HEAD = engine/head
SQL_STATE = engine/schema_state engine/access_state privacy/mask_state server/server_state task/task_state pull/pull_state pull/entity_state pull/rename_state \
	privacy/minimize_state job/job_state credential/pull_jwt_state credential/app_state webhook/webhook_state canopy/carrier_state canopy/document_state canopy/progress_state \
	canopy/monitoring_state canopy/servicing_state canopy/enrichment_state summit/upload_state summit/policy_status_state \
	summit/roster_state summit/certificate_state summit/export_state summit/notice_state summit/compliance_state summit/gate_state summit/bridge_state
SQL_CODE = engine/member base/html base/coerce base/json privacy/mask privacy/stored privacy/minimize engine/instance server/server \
	api/operation process/wake task/task pull/pull pull/rename pull/dictionary pull/view_order pull/view job/job job/control job/reconcile webhook/webhook webhook/event \
	canopy/canopy canopy/document canopy/refresh canopy/sync canopy/monitoring canopy/component canopy/authorize canopy/servicing canopy/policy_check canopy/enrichment canopy/webhook_admin canopy/progress summit/csv summit/upload summit/delivery summit/certificate summit/policy_status summit/certificate_view summit/roster summit/export_cell summit/export summit/yardi_xml summit/export_feed summit/notice summit/compliance summit/gate summit/bridge webhook/apply canopy/onboarding status/stats status/check \
	engine/access
SQL_PARTS = $(patsubst %,$(here)/src/sql/%.sql,$(SQL_HEAD) $(SQL_STATE) $(SQL_CODE))

# pg_regress tests, in the order in which they run.
REGRESS = server store coerce shape drift view link operation certificate csv html webhook
REGRESS_OPTS = --encoding=UTF8 --no-locale

# test/run sets WERROR=-Werror; elsewhere a compiler may know warnings which this code has not met.
WERROR ?=
# PostgreSQL's own headers need the first line of exceptions. The second is for clang, which meets
# flags, format attributes and casts (PG_SIG_IGN of PostgreSQL 19) that were chosen for gcc.
PG_CFLAGS = -Wall -Wextra $(WERROR) -MMD -MP \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes \
	-Wno-cast-function-type-strict
PG_CPPFLAGS = -I$(here)/src -DCANOPY_SUMMIT_VERSION='"$(EXTVERSION)"' \
	$(shell xml2-config --cflags 2>/dev/null || pkg-config --cflags libxml-2.0 2>/dev/null)
SHLIB_LINK = -lcurl -lssl -lcrypto -lxml2 -lmicrohttpd

EXTENSION_SCRIPT = $(EXTENSION)--$(EXTVERSION).sql
EXPORTS = src/symbols.map
DATA = $(notdir $(wildcard $(here)/$(EXTENSION)--*--*.sql))
DATA_built = $(EXTENSION_SCRIPT)
BUILT_FOR = src/built_for
EXTRA_CLEAN = $(OBJS:.o=.d) $(EXPORTS) $(BUILT_FOR) replay.sql tmp_check

.PHONY: all install installcheck test test-browser flake torture bench fuzz matrix doc demo play sandbox format check-format

all:

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifneq ($(wildcard $(PGXS)),)

# Bitcode for the JIT would need clang, and buys nothing where the network is the cost.
ifeq ($(origin with_llvm),undefined)
override with_llvm = no
endif

SHLIB_LINK += -Wl,--version-script=$(EXPORTS)

include $(PGXS)

-include $(OBJS:.o=.d)
$(OBJS) $(OBJS:.o=.bc): $(here)/Makefile $(BUILT_FOR)

# Objects made for one PostgreSQL do not load into another: the file changes when PG_CONFIG does.
$(BUILT_FOR): built_for := $(shell command -v $(PG_CONFIG)) $(VERSION)
$(BUILT_FOR): always
	@mkdir -p $(sort $(@D) $(dir $(OBJS)))
	@echo '$(built_for)' | cmp -s - $@ || echo '$(built_for)' >$@

.PHONY: always
always:

# PostgreSQL loads modules with RTLD_GLOBAL, and before version 16 nothing hides their symbols from
# each other. Visible are the SQL functions and the entry points that PostgreSQL looks up by name.
$(MODULE_big)$(DLSUFFIX): $(EXPORTS)
$(EXPORTS): $(OBJS)
	{ echo '{ global:'; \
	  nm --defined-only --extern-only $(OBJS) | sed -n \
	    -e 's/.* pg_finfo_\(.*\)$$/pg_finfo_\1; \1;/p' \
	    -e 's/.* \(Pg_magic_func\|_PG_init\|[a-z0-9_]*_main\)$$/\1;/p'; \
	  echo 'local: *; };'; } >$@

# A part or a test that nobody listed would be skipped in silence.
SQL_FILES = $(wildcard $(here)/src/sql/*.sql $(here)/src/sql/*/*.sql)
ifneq ($(filter-out $(SQL_PARTS),$(SQL_FILES)),)
$(error not in SQL_PARTS: $(filter-out $(SQL_PARTS),$(SQL_FILES)))
endif
ifneq ($(filter-out $(REGRESS),$(patsubst $(here)/sql/%.sql,%,$(wildcard $(here)/sql/*.sql))),)
$(error not in REGRESS: $(filter-out $(REGRESS),$(patsubst $(here)/sql/%.sql,%,$(wildcard $(here)/sql/*.sql))))
endif

# Out of the tree, $(BUILT_FOR) also keeps make from taking the tree's for its own.
$(EXTENSION_SCRIPT): $(SQL_PARTS) $(here)/Makefile $(here)/$(EXTENSION).control $(BUILT_FOR)
	cat $(SQL_PARTS) >$@

# What an upgrade script ends with, after its changes of state: all that is replaceable, over what is there.
SQL_REPLAYED = $(patsubst %,$(here)/src/sql/%.sql,$(SQL_HEAD) $(SQL_CODE))
replay.sql: $(SQL_REPLAYED) $(here)/Makefile $(BUILT_FOR)
	sed -e 's/^CREATE \(FUNCTION\|PROCEDURE\|VIEW\|TRIGGER\)\>/CREATE OR REPLACE \1/' \
	  -e '/^.echo/s/CREATE EXTENSION $(EXTENSION)/ALTER EXTENSION $(EXTENSION) UPDATE/' $(SQL_REPLAYED) >$@

# pg_regress connects as the caller, and writes where make runs.
.PHONY: check-caller
installcheck: check-caller
check-caller:
	@[ -w . ] || { \
	  echo '$(CURDIR) is not yours to write in. Out of the tree, in a directory that is:' >&2; \
	  echo '    make -f $(abspath $(here))/Makefile installcheck' >&2; exit 1; }
	@[ "$$('$(bindir)/psql' -XAtd postgres -c 'SELECT rolsuper FROM pg_roles WHERE rolname = current_user')" = t ] || { \
	  echo 'installcheck needs a running server with canopy_summit installed, and a superuser of it. Set PGHOST,' >&2; \
	  echo 'PGPORT and PGUSER, or run it as the server'\''s user: sudo -u postgres make installcheck' >&2; exit 1; }

else

# The machine's newest PostgreSQL, if it has one.
MAJOR := $(or $(lastword $(sort $(notdir $(wildcard /usr/lib/postgresql/*)))),NN)

all install installcheck clean:
	@echo '$(PG_CONFIG) knows no PostgreSQL server headers: install postgresql-server-dev-$(MAJOR),' >&2
	@echo 'set PG_CONFIG to another pg_config, or run "make demo", which installs what it needs.' >&2
	@exit 1

endif

test:
	$(here)/test/run

test-browser:
	$(here)/test/browser.sh

flake:
	$(here)/test/flake

torture:
	$(here)/test/torture.sh

bench:
	$(here)/test/bench/run

matrix:
	$(here)/test/matrix

FUZZ_SECONDS ?= 60

fuzz:
	$(here)/test/fuzz/run all $(FUZZ_SECONDS)

doc:
	$(here)/test/reference

demo:
	@$(here)/test/demo.sh

play:
	@$(here)/test/play.sh

sandbox:
	@$(here)/test/sandbox.sh

C_SOURCES = $(wildcard $(here)/src/*.[ch] $(here)/src/*/*.[ch] $(here)/test/fuzz/*.[ch])

PERL_SOURCES = $(wildcard $(here)/test/t/*/*.pl $(here)/test/perl/*.pm)

# Releases of either program differ, such as in the space before a compound literal's brace.
clang_format = clang-format --version 2>/dev/null | grep -q 'version 14\.' || \
	{ echo 'The format of C is left alone: that needs clang-format 14.' >&2; exit 0; }; clang-format
perltidy = perltidy --version 2>/dev/null | grep -q v20220613 || \
	{ echo 'The format of Perl is left alone: that needs perltidy 20220613.' >&2; exit 0; }; \
	printf '%s\n' $(PERL_SOURCES) | xargs -P "$$(nproc)" -n 8 sh -c

.PHONY: format-c format-perl check-format-c check-format-perl
format: format-c format-perl
check-format: check-format-c check-format-perl

format-c:
	@$(clang_format) -i $(C_SOURCES)

check-format-c:
	@$(clang_format) --dry-run -Werror $(C_SOURCES)

format-perl:
	@$(perltidy) 'perltidy -pro=$(here)/.perltidyrc -conv -b -bext=/ "$$@"' sh

check-format-perl:
	@$(perltidy) 'status=0; for file; do \
	  perltidy -pro=$(here)/.perltidyrc -st <"$$file" | diff -u "$$file" - || status=1; \
	  done; exit $$status' sh
