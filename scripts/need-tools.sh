#!/bin/sh
# Installs ffmpeg for the tests that decode video and chromium for those of the
# page, where the system's package manager may be used; else says what will be
# skipped. With CI=true the tests fail without them.
browser() {
  for b in chromium chromium-browser google-chrome; do
    command -v $b >/dev/null 2>&1 && return 0
  done
  return 1
}
need=""
command -v ffprobe >/dev/null 2>&1 || need="ffmpeg"
browser || need="$need chromium"
[ -z "$need" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  # shellcheck disable=SC2086 # two names
  (apt-get update -q && apt-get install -y -q $need) >/dev/null 2>&1
fi
command -v ffprobe >/dev/null 2>&1 ||
  echo "ffmpeg is not installed: the tests that decode video are skipped (install it with your package manager)" >&2
browser ||
  echo "chromium is not installed: the tests of the page and of WebRTC are skipped (install it with your package manager)" >&2
exit 0
