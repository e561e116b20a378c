#!/bin/sh
# Installs ffmpeg for the tests that decode video, where the system's package
# manager may be used; else says what will be skipped. With CI=true the tests
# fail without it.
command -v ffprobe >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  (apt-get update -q && apt-get install -y -q ffmpeg) >/dev/null 2>&1 && exit 0
fi
echo "ffmpeg is not installed: the tests that decode video are skipped (install it with your package manager)" >&2
exit 0
