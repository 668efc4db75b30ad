# test/lib.sh - what the scripts in this directory share: packages, build, throwaway servers, clean-up.
#
# A script sources this file and calls need_packages, then begin_run. Everything that it makes after
# that lives in $run_dir, and every process that it starts belongs to $run_user; finish_run, which
# runs however the script ends, ends those processes and removes the directory. Servers run as
# direct children that are signalled if the script dies, so that not even SIGKILL leaves one behind.
# The run never listens on anything but a socket in $run_dir and ports that the sandbox chooses.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

build_packages=(gcc libc6-dev make libcurl4-openssl-dev libmicrohttpd-dev libssl-dev libxml2-dev)
sandbox_packages=(ca-certificates openssl python3)
test_packages=(clamav-daemon clang libipc-run-perl perl)

# Results must not depend on who calls, reach a server of theirs, or use programs of their home.
unset MAKEFLAGS MFLAGS MAKELEVEL
for variable in "${!PG@}"; do
	[ "$variable" = PG_CONFIG ] || unset "$variable"
done
# PostgreSQL's test modules delete LC_ALL: then LANG decides the encoding of their clusters.
unset LANGUAGE "${!LC_@}"
export LANG=C.UTF-8 LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022

say() { printf '%s\n' "$*" >&2; }

# The machine's newest PostgreSQL, or else the one that apt would install, unless PG_CONFIG names another.
choose_server() {
	local major
	if [ -n "${PG_CONFIG:-}" ]; then
		PG_CONFIG=$(command -v "$PG_CONFIG") || {
			say "PG_CONFIG does not name a program."
			return 1
		}
		server_packages=()
		return 0
	fi
	major=$(printf '%s\n' /usr/lib/postgresql/[1-9]*/bin/postgres | cut -d / -f 5 | sort -n | tail -n 1)
	[ "$major" != '[1-9]*' ] || major=$(apt_server)
	[ "${major:-0}" -ge 15 ] || {
		say "Neither this machine nor apt has PostgreSQL 15 or newer: set PG_CONFIG to a pg_config of one."
		return 1
	}
	PG_CONFIG=/usr/lib/postgresql/$major/bin/pg_config
	server_packages=("postgresql-$major" "postgresql-server-dev-$major")
	# Its recipes are tried where it is to be had.
	! apt-cache policy "postgresql-$major-cron" 2>/dev/null | grep -q 'Candidate: [0-9]' ||
		test_packages+=("postgresql-$major-cron")
}

# The major version behind Debian's and Ubuntu's package postgresql, whose lists may have to be read first.
apt_server() {
	local depends="apt-cache depends --important postgresql"
	if ! $depends >/dev/null 2>&1; then
		say "Asking apt which PostgreSQL there is ..."
		run_as_root apt-get -qq update >&2 || return 0
	fi
	$depends 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p'
}

# Whoever is not root needs sudo.
run_as_root() {
	local sudo=()
	[ "$(id -u)" -eq 0 ] || sudo=(sudo)
	"${sudo[@]}" "$@"
}

# What a script needs no server for, it says before it sources this file.
[ "${needs_server:-yes}" = no ] || choose_server

# Installs those of the named Debian packages that are missing.
need_packages() {
	local package missing=()
	for package in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
			missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || {
		say "Missing packages, and no sudo to install them with: ${missing[*]}"
		return 1
	}
	say "Installing ${missing[*]}: a minute or two ..."
	run_as_root "$root/test/install_packages.sh" "${missing[@]}"
}

# Makes $run_dir and chooses $run_user. Later calls of as_run_user run a command as that user.
begin_run() {
	run_user=$(id -un)
	as_user=()
	if [ "$(id -u)" -eq 0 ]; then
		# PostgreSQL refuses to run as root.
		run_user=postgres
		getent passwd postgres >/dev/null || run_user=nobody
		as_user=(setpriv --reuid="$run_user" --regid="$(id -g "$run_user")" --init-groups --)
	fi
	# A path that the user can reach and that is short enough for a socket: not TMPDIR.
	run_dir=$(mktemp -d /tmp/canopy_summit.XXXXXX)
	daemons=()
	step_pid=
	trap finish_run EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chown "$run_user": "$run_dir"
	cd "$run_dir"
	export HOME=$run_dir USER=$run_user LOGNAME=$run_user
}

as_run_user() { "${as_user[@]}" "$@"; }

# Ends what the run started and removes its directory. A script may define after_finish, which is
# then called and may still make the run fail.
finish_run() {
	local status=$? daemon i file
	trap - EXIT
	trap '' HUP INT TERM
	[ -z "$step_pid" ] || end_process TERM -"$step_pid"
	for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do
		daemon=${daemons[i]}
		end_process "${daemon%% *}" "${daemon##* }"
	done
	# Servers of a test that was itself ended before it could end them.
	while IFS= read -r file; do
		end_process QUIT "$(head -n 1 "$file")"
	done < <(find "$run_dir" -name postmaster.pid 2>/dev/null)
	cd /
	rm -rf "$run_dir"
	if declare -F after_finish >/dev/null; then
		after_finish || status=1
	fi
	exit "$status"
}

# Signals a process (or, with a minus sign, a process group) and waits until it is gone.
end_process() {
	local signal=$1 target=$2 i
	kill -s "$signal" -- "$target" 2>/dev/null || return 0
	for ((i = 0; i < 100; i++)); do
		kill -s 0 -- "$target" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -s KILL -- "$target" 2>/dev/null || true
}

# Runs a long command so that a signal to the script ends it, and its children, at once: bash
# leaves traps waiting while a command in the foreground runs.
run_step() {
	local status=0
	setsid env --default-signal=INT,QUIT -- "$@" </dev/null &
	step_pid=$!
	wait "$step_pid" || status=$?
	step_pid=
	return "$status"
}

# start_daemon SIGNAL LOG COMMAND...: SIGNAL is what ends it.
start_daemon() {
	local signal=$1 log=$2
	shift 2
	# The second setpriv has to come after the change of user, which clears what it sets.
	setsid "${as_user[@]}" setpriv --pdeathsig "$signal" -- "$@" </dev/null >"$log" 2>&1 &
	daemons+=("$signal $!")
}

# wait_for SECONDS LOG COMMAND...: until the command succeeds, while the newest daemon lives.
wait_for() {
	local seconds=$1 log=$2 daemon=${daemons[-1]##* } i
	shift 2
	for ((i = 0; i < seconds * 20; i++)); do
		if "$@" >/dev/null 2>&1; then
			return 0
		fi
		kill -s 0 "$daemon" 2>/dev/null || break
		sleep 0.05
	done
	say "A server did not start:"
	cat "$log" >&2
	return 1
}

# quietly LOG COMMAND...: shows the output only of a command that fails.
quietly() {
	local log=$1
	shift
	run_step "$@" >"$log" 2>&1 || {
		cat "$log" >&2
		return 1
	}
}

# visibly LOG COMMAND...: the same, and what the command is at every few seconds.
visibly() {
	local status=0 reporter
	report_progress "$1" &
	reporter=$!
	quietly "$@" || status=$?
	kill "$reporter" 2>/dev/null || true
	wait "$reporter" 2>/dev/null || true
	return "$status"
}

# The newest line of a log, of a compiler's the file that it makes.
report_progress() {
	local line
	while sleep 3 && [ -e "$1" ]; do
		line=$(tail -n 1 "$1" 2>/dev/null | sed 's/.* -o \([^ ]*\).*/\1/' | cut -c 1-100)
		[ -z "$line" ] || say "  $line"
	done
}

# Builds in the checkout, installs into $tree, and gives $run_user a copy of the checkout in $work,
# because the checkout itself may be in somebody's closed home directory.
build_and_install() {
	bindir=$("$PG_CONFIG" --bindir)
	tree=$run_dir/tree
	work=$run_dir/work
	visibly "$run_dir/build.log" make -C "$root" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" all
	quietly "$run_dir/build.log" make -C "$root" PG_CONFIG="$PG_CONFIG" DESTDIR="$tree" install
	copy_checkout "$work"
	as_run_user python3 -m compileall -q "$work/test/sandbox"
	export PATH="$bindir:$PATH"
}

# copy_checkout DIRECTORY [TAR OPTION...]
copy_checkout() {
	local target=$1
	shift
	mkdir "$target"
	tar -C "$root" --exclude=./.git --exclude=./tmp_check "$@" -cf - . | tar -C "$target" -xf -
	chown -R "$run_user": "$target"
}

# A data directory in $template, to be copied instead of calling initdb once for each cluster.
make_template() {
	template=$run_dir/template
	quietly "$run_dir/initdb.log" "${as_user[@]}" "$bindir/initdb" --pgdata="$template" \
		--auth=trust --encoding=UTF8 --locale=C.UTF-8 --lc-messages=C --no-sync
}

# A data directory whose superuser is postgres. That of the template is the run's user.
make_data_directory() {
	if [ -n "${template:-}" ] && [ "$run_user" = postgres ]; then
		as_run_user cp -RPp "$template" "$1"
	else
		quietly "$run_dir/initdb.log" "${as_user[@]}" "$bindir/initdb" --pgdata="$1" \
			--username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync
	fi
}

# The settings with which a server finds the extension in $tree. Before 18 that needs Debian's patch.
extension_settings() {
	echo "dynamic_library_path = '$tree$("$PG_CONFIG" --pkglibdir):\$libdir'"
	if [ "$("$PG_CONFIG" --version | grep -o '[0-9]*' | head -n 1)" -ge 18 ]; then
		echo "extension_control_path = '$tree$("$PG_CONFIG" --sharedir):\$system'"
	else
		echo "extension_destdir = '$tree'"
	fi
}

# start_cluster [SETTING...]: starts PostgreSQL from $tree in $run_dir; psql and its relatives then
# reach it without options.
start_cluster() {
	export PGHOST=$run_dir PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	start_server data 5432 "$@"
}

# start_server NAME PORT [SETTING...]: one more, whose data are in that directory of $run_dir, reached by that port.
start_server() {
	local data=$run_dir/$1 port=$2 log=$run_dir/$1.log
	shift 2
	make_data_directory "$data"
	as_run_user tee -a "$data/postgresql.conf" >/dev/null <<-END
		cluster_name = 'canopy_summit'
		$(extension_settings)
		fsync = off
		listen_addresses = ''
		shared_preload_libraries = 'canopy_summit'
		unix_socket_directories = '$run_dir'
		unix_socket_permissions = 0700
		$(printf '%s\n' "$@")
	END
	start_daemon INT "$log" "$bindir/postgres" -D "$data" -p "$port"
	wait_for 60 "$log" as_run_user psql -X -p "$port" -c ''
}

# start_sandbox [SEED]: from $work, in $sandbox_dir.
start_sandbox() {
	local log=$run_dir/sandbox.log
	sandbox_dir=$run_dir/sandbox
	as_run_user mkdir "$sandbox_dir"
	start_daemon TERM "$log" python3 "$work/test/sandbox/sandbox.py" \
		--dir "$sandbox_dir" --seed "${1:-1}"
	wait_for 60 "$log" test -s "$sandbox_dir/ready.json"
}

# sandbox_value NAME [NAME]: a value, or a value in a value, of what the sandbox says about itself.
sandbox_value() {
	python3 - "$sandbox_dir/ready.json" "$@" <<-'END'
		import functools, json, sys

		with open(sys.argv[1], encoding="utf-8") as file:
		    print(functools.reduce(lambda value, name: value[name], sys.argv[2:], json.load(file)))
	END
}

# A port of the loopback address that nobody uses now.
free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Writes the sandbox's client secrets where the throwaway cluster, and nobody else, can read them.
write_client_secrets() {
	local name
	for name in client_secret summit_client_secret; do
		sandbox_value "$name" | as_run_user sh -c 'umask 077; cat >"$1"' sh "$run_dir/$name"
	done
}

# Runs the demo's statements, each shown as it is sent, against the cluster and the sandbox.
show_demo() {
	local secret=demo receiver_url=http://127.0.0.1:$receiver_port
	as_run_user psql -X --quiet --echo-queries --set=ON_ERROR_STOP=1 --pset=pager=off --pset=footer=off \
		--set=base_url="$(sandbox_value base_url)" --set=ca_file="$sandbox_dir/ca.pem" \
		--set=team_id="$(sandbox_value team_id)" --set=client_id="$(sandbox_value client_id)" \
		--set=client_secret_file="$run_dir/client_secret" --set=pull_id="$(sandbox_value pulls user_good)" \
		--set=summit_base_url="$(sandbox_value summit_base_url)" \
		--set=summit_auth_url="$(sandbox_value summit_auth_url)" \
		--set=summit_client_id="$(sandbox_value summit_client_id)" \
		--set=summit_client_secret_file="$run_dir/summit_client_secret" --set=webhook_secret="$secret" \
		--set=post_webhook="$work/test/post_webhook.py $(sandbox_value control_url) $receiver_url $secret" \
		--set=commercial_pull_id="$(sandbox_value pulls user_good_commercial)" \
		--set=manager_url="https://localhost:$manager_port/webhooks/summit" --set=manager_host="$PGHOST" --set=manager_port=5433 \
		--file="$work/test/demo.sql"
}

# What `make demo` and `make play` have in common: the servers, ready for show_demo.
start_demo_servers() {
	need_packages "${build_packages[@]}" "${server_packages[@]}" "${sandbox_packages[@]}"
	begin_run
	say "Building canopy_summit, which takes a minute, and starting PostgreSQL and the sandbox ..."
	build_and_install
	receiver_port=$(free_port)
	start_cluster "canopy_summit.receiver_port = $receiver_port"
	start_sandbox "${DEMO_SEED:-1}"
	write_client_secrets
	# What is pulled is in force.
	as_run_user "$work/test/renew_policies.py" "$(sandbox_value control_url)" "$(sandbox_value pulls user_good_commercial)"
	manager_port=$(free_port)
	# Webhooks are applied when the demo says so, and by no worker.
	start_server manager 5433 "canopy_summit.databases = 'none'" "canopy_summit.receiver_port = $manager_port" \
		"canopy_summit.receiver_tls_cert_file = '$sandbox_dir/tls/server.pem'" \
		"canopy_summit.receiver_tls_key_file = '$sandbox_dir/tls/server.key'"
}

# What runs a TAP file in $work: ${tap[@]} before the program, ${tap_includes[@]} for perl or prove.
prepare_tap() {
	local pgxs_dir
	pgxs_dir=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
	as_run_user mkdir -p "$run_dir/tmp"
	tap=("${as_user[@]}" env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE
		CANOPY_TREE="$tree" PG_CONFIG="$PG_CONFIG" TMPDIR="$run_dir/tmp" INITDB_TEMPLATE="$template"
		PG_REGRESS="$pgxs_dir/src/test/regress/pg_regress"
		TESTDIR="$work" TESTDATADIR="$work/tmp_check" TESTLOGDIR="$work/tmp_check/log")
	tap_includes=(-I "$pgxs_dir/src/test/perl" -I test/perl)
}

# Keeps the logs of TAP files beyond the run.
keep_logs() {
	rm -rf "$root/tmp_check"
	mkdir "$root/tmp_check"
	cp -r "$work/tmp_check/log" "$root/tmp_check/"
	say "The logs are in $root/tmp_check/log."
}
