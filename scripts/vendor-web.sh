#!/bin/sh
# Puts hls.js and uPlot, which the page uses, into internal/web/assets/vendor,
# with their licences. What is there is committed: `go build` needs neither this
# script nor npm nor a network.
#
#   usage: scripts/vendor-web.sh
#
# Needs npm, openssl and tar. To move to a new version, change it here together
# with its hash (npm view NAME@VERSION dist.integrity).
set -eu

out=$(cd "$(dirname "$0")/.." && pwd)/internal/web/assets/vendor
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT INT TERM

fail() {
	echo "vendor-web: $*" >&2
	exit 1
}

for tool in npm openssl tar; do
	command -v "$tool" >/dev/null 2>&1 || fail "$tool is not installed"
done

# unpack NAME VERSION SHA512: into $tmp/NAME/package.
unpack() {
	(cd "$tmp" && npm pack --silent "$1@$2" >/dev/null) || fail "$1@$2 cannot be downloaded"
	got=$(openssl dgst -sha512 -binary "$tmp/$1-$2.tgz" | openssl base64 -A)
	[ "$got" = "$3" ] || fail "$1@$2 has the hash sha512-$got, want sha512-$3"
	mkdir "$tmp/$1"
	tar -xzf "$tmp/$1-$2.tgz" -C "$tmp/$1"
}

# take FROM TO: without the reference to a source map, which is not there.
take() { sed '/^\/\/# sourceMappingURL=/d' "$tmp/$1" >"$out/$2"; }

unpack hls.js 1.7.4 '3GlxGdPvT2YHvQYOt+yOzT/DEior/qJVNIylHA77kgeoBTdQQqi70GwefNEUmHQeNGyjC8U62+bruqW/Tpm+tg=='
unpack uplot 1.6.32 'KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw=='

rm -rf "$out"
mkdir -p "$out"
# The light build lacks what a single live stream has no use for: alternate
# audio, subtitles, DRM, content steering.
take hls.js/package/dist/hls.light.min.mjs hls.light.min.mjs
take hls.js/package/LICENSE LICENSE.hls.js.txt
take uplot/package/dist/uPlot.iife.min.js uPlot.iife.min.js
take uplot/package/dist/uPlot.min.css uPlot.min.css
take uplot/package/LICENSE LICENSE.uPlot.txt
wc -c "$out"/* >&2
