#!/bin/sh
# Builds every release binary into the folder $1, with SHA256SUMS and a bill of
# materials (CycloneDX). The same commit and the same Go give the same bytes,
# whoever builds them and where: scripts/reproducible.sh shows it.
#   TARGETS="linux/amd64 ..."   what to build
#   BOM=cyclonedx-gomod         the tool for the bill of materials; empty: none
set -eu
dist=$1
: "${TARGETS:=linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}"
export CGO_ENABLED=0 GOTOOLCHAIN="$(go env GOVERSION)"
mkdir -p "$dist"
rm -f "$dist"/peer-* "$dist"/SHA256SUMS
for t in $TARGETS; do
	os=${t%/*} arch=${t#*/} ext=
	[ "$os" = windows ] && ext=.exe
	file="$dist/peer-$os-$arch$ext"
	echo "$file" >&2
	GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=auto -ldflags='-s -w -buildid=' -o "$file" ./cmd/peer
	if [ -n "${BOM:-}" ]; then
		"$BOM" bin -json -noserial -notimestamp -std -licenses -version "$(git describe --tags --always 2>/dev/null || echo dev)" \
			-output "$file.cdx.json" "$file" 2>/dev/null
	fi
done
(cd "$dist" && sha256sum peer-* >SHA256SUMS)
