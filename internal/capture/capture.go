// Package capture makes a test of rules out of what really happened: a stretch
// of the log, or a capture of packets with syslog and traps. What the test
// expects is what the rules do now, so that it fails when that changes.
//
// It is pure: bytes in, text out.
package capture

import (
	"time"

	"signalbox/event"
	"signalbox/internal/normalize"
)

// Message is one thing that came in, as a packet or as an event of the log.
type Message struct {
	Time time.Time // when it came in
	// Form and Raw are the message as its sender wrote it; Form is "" where
	// only Event is known.
	Form    normalize.Form
	Raw     []byte
	Peer    string // "192.0.2.7:514"
	Source  string
	Mapping string // Payload: the mapping of its source

	Event    *event.Event // as it was logged; nil for packets
	Rejected string       // the reason, where it was rejected
}

// MaxMessages bounds what one test holds.
const MaxMessages = 10_000
