// Package media turns inputs into groups: it cuts MPEG-TS at random-access
// points, paces files in real time, loops the embedded test clip, takes the frames
// of RTMP, supervises ffmpeg, and takes MPEG-TS apart again for other outputs.
//
// Files and pipes pass byte for byte: what a player puts out, from its first group
// on, is the publisher's input. So does a live input (a URL) until its encoder
// leaves, but for bytes that are no packets. When an encoder comes back, or
// timestamps jump, PCR, PTS, DTS, continuity counters and PIDs are rewritten to go
// on where the stream stood: a new encoder counts from its own begin, and players
// that read the stream without an end bear that badly. Pictures and sound are
// never changed.
package media
