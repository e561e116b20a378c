// Package media turns inputs into groups: it cuts MPEG-TS at random-access
// points, paces files in real time, and loops the embedded test clip. Not one
// payload byte is changed: what a player puts out, from its first group on, is
// the publisher's input byte for byte.
package media
