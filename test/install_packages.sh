#!/bin/bash
# test/install_packages.sh PACKAGE... - install Debian packages, and nothing but their files; as root.
#
# Left alone, PostgreSQL's packages make a cluster and start it. Two files forbid that while apt-get
# runs: a setting for pg_createcluster, and a policy-rc.d, which answers whether a package may start
# its services. Both are made only where there is none, and removed afterwards. The policy ends with
# this process, so that a kill -9 does not leave a machine whose services no longer start.
set -eu -o pipefail

policy=/usr/sbin/policy-rc.d
policy_mark='# made by canopy_summit'
cluster_conf=/etc/postgresql-common/createcluster.conf
setting_dir=/etc/postgresql-common/createcluster.d
setting=$setting_dir/canopy_summit.conf
log=$(mktemp)
made=()

finish() {
	local status=$? i
	trap - EXIT
	trap '' HUP INT TERM
	for ((i = ${#made[@]} - 1; i >= 0; i--)); do
		if [ -d "${made[i]}" ]; then
			rmdir --ignore-fail-on-non-empty "${made[i]}"
		else
			rm -f "${made[i]}"
		fi
	done
	rm -f "$log"
	exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

forbid_services() {
	if [ -e "$policy" ] && ! grep -qxF "$policy_mark" "$policy"; then
		return 0
	fi
	made+=("$policy")
	printf '%s\n' '#!/bin/sh' "$policy_mark" "[ ! -d /proc/$$ ] || exit 101" >"$policy"
	chmod 755 "$policy"
}

forbid_cluster() {
	local directory
	for directory in /etc/postgresql-common "$setting_dir"; do
		if [ ! -d "$directory" ]; then
			mkdir "$directory"
			made+=("$directory")
		fi
	done
	made+=("$setting")
	echo 'create_main_cluster = off' >"$setting"
}

# The configuration may be one that does not read our file: then a package that makes clusters must
# not be installed.
check_cluster_forbidden() {
	local value
	value=$(pg_conftool "$cluster_conf" show -bs create_main_cluster || true)
	if [ "$value" != off ]; then
		echo "$cluster_conf does not include $setting_dir, so installing PostgreSQL would" >&2
		echo "create and start a cluster. Set create_main_cluster = false there, or install" >&2
		echo "these packages yourself: $*" >&2
		exit 1
	fi
}

# Shows one step in ten, so that a long installation is seen to go on.
apt_get() {
	DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8 \
		apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null 2>&1 | tee "$log" |
		awk '/^(Get:|Unpacking|Setting up)/ && n++ % 10 == 0 { print "  " substr($0, 1, 100); fflush() }' >&2
}

# Package lists may be absent or out of date: only the second failure counts.
install() {
	local options=(-y --no-install-recommends install)
	if apt_get "${options[@]}" "$@"; then
		return 0
	fi
	if ! apt_get update || ! apt_get "${options[@]}" "$@"; then
		cat "$log" >&2
		exit 1
	fi
}

# A service that was not started would be at the next start of the machine.
disable_services() {
	local unit
	for unit in clamav-daemon.service clamav-daemon.socket clamav-freshclam.service; do
		[ ! -e "/lib/systemd/system/$unit" ] || DPKG_MAINTSCRIPT_PACKAGE=clamav-daemon deb-systemd-helper disable "$unit" >/dev/null 2>&1 || true
	done
}

forbid_services
had_scanner=no
[ ! -x /usr/sbin/clamd ] || had_scanner=yes
if [[ " $* " == *" postgresql-"* ]]; then
	forbid_cluster
	install postgresql-common
	check_cluster_forbidden "$@"
fi
install "$@"
[ "$had_scanner" = yes ] || disable_services
