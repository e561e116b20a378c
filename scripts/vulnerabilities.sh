#!/bin/sh
# Known vulnerabilities in what the binary calls. The database is at vuln.go.dev;
# where that cannot be reached the check is skipped, and says so.
out=$("$1" ./cmd/peer 2>&1)
status=$?
case "$out" in
*"fetching vulnerabilities"*)
	echo "SKIPPED: known vulnerabilities were not looked for: vuln.go.dev cannot be reached" >&2
	exit 0
	;;
esac
echo "$out"
exit $status
