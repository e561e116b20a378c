#!/bin/sh
# Shows that a release can be made again: clones the commit to another folder, builds
# with an empty cache, and compares with the folder $1 byte for byte.
set -eu
dist=$(cd "$1" && pwd)
: "${TARGETS:=linux/amd64}"
export TARGETS
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
git clone -q . "$tmp/elsewhere"
(cd "$tmp/elsewhere" && GOCACHE="$tmp/cache" BOM= sh scripts/release.sh "$tmp/again")
for f in "$tmp"/again/peer-*; do
	name=$(basename "$f")
	if ! cmp "$f" "$dist/$name"; then
		echo "$name is not the same when built again; was the tree clean (git status) when it was released?" >&2
		exit 1
	fi
	echo "$name: two builds, the same bytes"
done
