// Package event holds the envelope of everything that happens on the network:
// one CloudEvents 1.0 event, with the few fields that rules ask for most
// (device, interface) beside it. It is public and uses the standard library
// only, so that handlers can be written without the rest of Signalbox.
package event

import (
	"encoding/json"
	"time"
)

// ID names one event for ever, whoever sent it and however often: a UUIDv7
// (RFC 9562) that Signalbox gives when the event comes in.
type ID string

// Event is one thing that happened on the network. Events are values; one that
// is in the log never changes. Data stays undecoded until somebody asks for it.
type Event struct {
	// ID is ours; SenderID is what the sender called it ("" where it has no
	// name for it). The same source and sender id again is a redelivery.
	ID       ID
	SenderID string

	// Source is the configured name of the source that took it in ("campus"),
	// Peer the address that it came from ("192.0.2.7:514").
	Source string
	Peer   string

	// Type is what happened, in snake_case: "interface_down". Device is the
	// inventory's name of the device it is about, or its host name or address
	// where the inventory does not know it. Interface is as the device wrote
	// it; CanonicalInterface makes short and long forms equal.
	Type      string
	Device    string
	Interface string

	// Time is by the device's clock, and zero where the message had none;
	// Received is by ours.
	Time     time.Time
	Received time.Time

	// TraceParent is a W3C trace context header value: the sender's, or new.
	TraceParent string

	// Data is a JSON object as the type's schema has it, or nil.
	Data json.RawMessage

	// Raw is what the peer sent, byte for byte, except that secrets of the
	// transport (SNMP communities) are taken out. Mapping names the mapping
	// and its version that made Data out of Raw ("" where none did). Meta
	// keeps the few facts of the transport that mapping again would need, such
	// as the webhook headers that the mapping reads.
	Raw     []byte
	Mapping string
	Meta    map[string]string

	// Cause is set on events that follow from a run of ours.
	Cause *Cause

	// Resubmits is the id of the rejected event that this one puts back.
	Resubmits ID
}

// Cause says which run an event follows from.
type Cause struct {
	Run   string `json:"run"`
	Rule  string `json:"rule"`
	Event ID     `json:"event"` // what set the run off
	// Rules are the rules of the chain so far, oldest first, the one that
	// emitted this event last. Its length is the depth of the chain.
	Rules []string `json:"rules,omitempty"`
	// Replay is set when the run was part of a replay.
	Replay bool `json:"replay,omitempty"`
}
