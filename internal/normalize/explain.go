package normalize

import "signalbox/internal/normalize/syslogmsg"

// Explanation tells how a message was read and why it became what it did:
// what an engineer needs who writes a mapping.
type Explanation struct {
	Result Result
	// Key is what was looked up: the tag, the notification, or the mapping
	// that the source names. Text is what patterns are held against.
	Key  string
	Text string
	// Message is what the syslog parser made of the bytes, nil for other forms.
	Message *syslogmsg.Message
	// Tried are the mappings that stood under the key, in order.
	Tried []Try
}

// Try is one mapping that was tried. Why is "" for the one that took the
// message.
type Try struct {
	Mapping string // name@hash
	File    string
	Line    int
	Why     string
}

// Explain does what Normalize does, and takes notes. It is much slower.
func (n *Normalizer) Explain(in Input) Explanation {
	m := n.take(&in)
	defer n.release(m)
	var ex Explanation
	m.trace = func(mp *mapping, why string) {
		ex.Tried = append(ex.Tried, Try{Mapping: mp.id, File: mp.file, Line: mp.node.Line, Why: why})
	}
	ex.Result = n.normalize(m)
	switch {
	case m.sys != nil:
		msg := *m.sys
		ex.Message, ex.Key, ex.Text = &msg, msg.Tag, msg.Text
		if ex.Key == "" {
			ex.Key = msg.AppName
		}
	case m.trap != nil:
		ex.Key = notificationName(m.trap)
	default:
		ex.Key = in.Mapping
	}
	if ex.Result.Why != "" && len(ex.Tried) > 0 {
		for _, t := range ex.Tried {
			ex.Result.Why += "; " + t.Mapping + ": " + t.Why
		}
	}
	return ex
}
