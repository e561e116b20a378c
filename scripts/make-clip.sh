#!/bin/sh
# Makes internal/media/clip/clip.ts, the video that `peer publish test:` loops.
#
#   usage: scripts/make-clip.sh [OUTPUT]
#
# 640x360, 25 frames a second, 512 frames = 20.48 s, which is also exactly 960
# AAC frames of 1024 samples at 48 kHz: so the clip can be put after itself
# again and again with no gap and no overlap. Closed groups of 25 frames, each
# with PAT and PMT before its keyframe.
#
# Needs ffmpeg with libx264, and a font for the counter: FONT=/path/to/font.ttf,
# else the one that fontconfig calls monospace.
set -eu

out=${1:-$(dirname "$0")/../internal/media/clip/clip.ts}
max_bytes=4194304

fail() {
	echo "make-clip: $*" >&2
	exit 1
}

for tool in ffmpeg ffprobe; do
	command -v "$tool" >/dev/null 2>&1 || fail "$tool is not installed (Debian: apt-get install ffmpeg)"
done

font=${FONT:-}
if [ -z "$font" ] && command -v fc-match >/dev/null 2>&1; then
	font=$(fc-match -f '%{file}' monospace:bold 2>/dev/null || true)
fi
if [ -z "$font" ] || [ ! -r "$font" ]; then
	font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf
fi
[ -r "$font" ] || fail "no font for the frame counter: install one (Debian: apt-get install fonts-dejavu-core) or set FONT=FILE"

# Drawn over testsrc2: the clock (clip time) and the frame number.
box="fontfile='$font':fontcolor=white:box=1:boxcolor=black@0.7:boxborderw=10"
clock="drawtext=$box:fontsize=44:x=(w-text_w)/2:y=36:text='%{pts\\:hms}'"
frame="drawtext=$box:fontsize=36:x=(w-text_w)/2:y=h-text_h-36:text='frame %{eif\\:n\\:d\\:3} of 512'"

# 959 AAC frames; the encoder adds one before them, its priming samples, so
# that audio runs 1024 samples ahead of video in every loop alike.
audio_length=20.458666667

# A beep of 0.1 s at each second, higher at every fifth; silent where the clip
# begins and ends, so that the loop does not click.
beep="aevalsrc=exprs='0.25*sin(2*PI*t*(660+220*not(mod(floor(t)\\,5))))*between(mod(t\\,1)\\,0.1\\,0.2)':sample_rate=48000:channel_layout=mono:duration=$audio_length"

mkdir -p "$(dirname "$out")"
tmp=$(dirname "$out")/.clip.$$.ts
trap 'rm -f "$tmp"' EXIT INT TERM

ffmpeg -hide_banner -loglevel warning -nostdin -y \
	-f lavfi -i "testsrc2=size=640x360:rate=25:duration=20.48" -f lavfi -i "$beep" \
	-map 0:v -map 1:a -vf "$clock,$frame,format=yuv420p" \
	-c:v libx264 -profile:v main -level 3.0 -preset slow -threads 1 \
	-b:v 1100k -maxrate 1300k -bufsize 1300k \
	-g 25 -keyint_min 25 -sc_threshold 0 -bf 0 -x264-params open-gop=0:repeat-headers=1 \
	-c:a aac -b:a 64k -ac 1 -ar 48000 \
	-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1 \
	-f mpegts -mpegts_flags +pat_pmt_at_frames+resend_headers -muxdelay 0.1 -muxpreload 0 \
	"$tmp"

count() {
	ffprobe -v error -select_streams "$1" -count_packets \
		-show_entries stream=nb_read_packets -of default=noprint_wrappers=1:nokey=1 "$tmp" | head -n 1
}
video=$(count v:0)
audio=$(count a:0)
bytes=$(wc -c <"$tmp" | tr -d ' ')
[ "$video" = 512 ] || fail "$video video frames, want 512"
[ "$audio" = 960 ] || fail "$audio AAC frames, want 960"
[ "$bytes" -le "$max_bytes" ] || fail "$bytes bytes, allowed are $max_bytes"

mv "$tmp" "$out"
echo "make-clip: $out: $bytes bytes, $video video frames, $audio AAC frames" >&2
