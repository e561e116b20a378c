// Package rtc speaks WebRTC with browsers and encoders: WHEP
// (draft-ietf-wish-whep) gives a stream to those who watch, WHIP (RFC 9725)
// takes one from those who publish. Nothing is transcoded: H.264 and Opus go
// through as they are, and what WebRTC cannot carry is refused by name.
package rtc
