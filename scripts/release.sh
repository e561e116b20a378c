#!/bin/sh
# Builds every release binary into the folder $1, with SHA256SUMS and a bill of
# materials (CycloneDX). The same commit and the same Go give the same bytes,
# whoever builds them and where: scripts/reproducible.sh shows it.
# Go's own stamp of the commit is left out, since it depends on how the sources were
# fetched; `peer version` says what git describe says.
#   VERSION=v1.2.3              default: git describe
#   TARGETS="linux/amd64 ..."   what to build
#   BOM=cyclonedx-gomod         the tool for the bill of materials; empty: none
set -eu
dist=$1
: "${TARGETS:=linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}"
: "${VERSION:=$(git describe --tags --always --dirty --abbrev=12)}"
export CGO_ENABLED=0 GOTOOLCHAIN="$(go env GOVERSION)"
mkdir -p "$dist"
rm -f "$dist"/peer-* "$dist"/SHA256SUMS
for t in $TARGETS; do
	os=${t%/*} arch=${t#*/} ext=
	[ "$os" = windows ] && ext=.exe
	file="$dist/peer-$os-$arch$ext"
	echo "$file" >&2
	GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags="-s -w -buildid= -X main.released=$VERSION" -o "$file" ./cmd/peer
	if [ -n "${BOM:-}" ]; then
		"$BOM" bin -json -noserial -notimestamp -std -licenses -version "$VERSION" \
			-output "$file.cdx.json" "$file" 2>/dev/null
	fi
done
(cd "$dist" && sha256sum peer-* >SHA256SUMS)
