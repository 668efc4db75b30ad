#!/bin/bash
# test/machine_state.sh SUBJECT - print what a test run must leave on the machine as it found it.
#
#   sockets   listening TCP sockets and PostgreSQL's sockets: protocol, address, user id, inode
#   clusters  the machine's PostgreSQL clusters, and the files that an interrupted run could leave
#   files     every file of PostgreSQL's extension and library directories, with its checksum
set -eu

case $1 in
	sockets)
		awk '$4 == "0A" { sub(".*/", "", FILENAME); print FILENAME, $2, $8, $10 }' /proc/net/tcp*
		awk '$4 == "00010000" && $8 ~ /\.s\.PGSQL\./ { print "unix", $8, "-", $7 }' /proc/net/unix
		;;
	clusters)
		if command -v pg_lsclusters >/dev/null; then
			pg_lsclusters --no-header
		fi
		ls -d /usr/sbin/policy-rc.d /etc/postgresql-common/createcluster.d/* 2>/dev/null || true
		;;
	files)
		find "$("$PG_CONFIG" --sharedir)/extension" "$("$PG_CONFIG" --pkglibdir)" \
			-type f -exec md5sum {} + | sort -k 2
		;;
esac
