package normalize

import "time"

// Form is how a peer writes its messages.
type Form string

const (
	Syslog  Form = "syslog"  // one syslog message, framing taken off
	SNMP    Form = "snmp"    // one trap or inform: BER of an SNMPv1 or v2c message
	Payload Form = "payload" // one JSON object: webhooks and message brokers
)

// Input is one message as its protocol delivered it, before it is normalised.
// What a Raw becomes depends on nothing but the fields of Input, the mappings
// and the inventory, so that it can be mapped again years later.
type Input struct {
	Source  string // configured name of the source
	Form    Form
	Mapping string // Payload: the mapping that the source names; "" for none

	Raw      []byte // owned by who receives the Input
	Peer     string // "192.0.2.7:514", "[2001:db8::1]:514"
	Received time.Time
	SenderID string
	// TraceParent is the sender's W3C trace context, "" for none.
	TraceParent string
	// Meta is what of the transport a mapping may read: webhook headers by
	// canonical name, AMQP properties. Kept small by the source.
	Meta map[string]string

	// Parsed spares parsing twice: what the source has already made of Raw
	// (*syslogmsg.Message, *trap.Trap), or nil.
	Parsed any
}
