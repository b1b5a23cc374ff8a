package rabbitmq

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/internal/normalize"
	"signalbox/internal/normalize/payload"
)

// message is one delivery on its way to the log.
type message struct {
	delivery amqp.Delivery
	inputs   []normalize.Input
	// broken is why the body could not be taken apart; "" where it could. With
	// inputs it goes into the log whole, which rejects it and keeps it.
	broken string
	// reason and event are set for the dead-letter exchange.
	reason, event string
	logged        bool // the log has it: to lose the dead letter loses no data
	tries         int  // to publish the dead letter
}

const maxKept = 512 // bytes of a property that is kept

// read takes a delivery apart.
func (s *session) read(d amqp.Delivery) *message {
	m := &message{delivery: d}
	if len(d.Body) > s.cfg.MaxBody {
		m.broken = fmt.Sprintf("the message has %d bytes, more than the %d allowed", len(d.Body), s.cfg.MaxBody)
		return m
	}
	received := time.Now()
	items, err := s.split(&d)
	if err != nil {
		m.broken = err.Error()
		if errors.Is(err, payload.ErrTooLarge) || len(d.Body) > s.cfg.MaxEvent || len(d.Body) == 0 {
			return m
		}
		items = []payload.Item{{Raw: d.Body}}
	}
	meta := s.meta(&d)
	trace, _ := d.Headers["traceparent"].(string)
	if !payload.ValidTraceParent(trace) {
		trace = ""
	}
	m.inputs = make([]normalize.Input, len(items))
	for i, it := range items {
		in := normalize.Input{
			Source: s.env.Name, Form: normalize.Payload, Mapping: s.cfg.Mapping,
			Raw: it.Raw, Peer: s.peer, Received: received,
			SenderID: senderID(&it, d.MessageId, i, len(items)), TraceParent: trace, Meta: meta,
		}
		if it.TraceParent != "" {
			in.TraceParent = it.TraceParent
		}
		m.inputs[i] = in
	}
	return m
}

// split takes the body apart into events: those of its array, and of each those
// that the mapping finds in it.
func (s *session) split(d *amqp.Delivery) ([]payload.Item, error) {
	limits := payload.Limits{Events: s.cfg.MaxEvents, EventBytes: s.cfg.MaxEvent}
	whole, splits := limits, s.env.SplitPayload != nil && s.cfg.Mapping != ""
	if splits {
		whole.EventBytes = s.cfg.MaxBody // of its parts each is held to max_event
	}
	items, err := payload.Split(payload.Message{
		ContentType: d.ContentType, Attributes: attributes(d.Headers), Body: d.Body,
	}, whole)
	if err != nil || !splits {
		return items, err
	}
	return payload.Parts(items, limits, func(raw []byte) ([][]byte, error) {
		return s.env.SplitPayload(s.cfg.Mapping, raw)
	})
}

// senderID is a CloudEvent's own id, or the message's with the event's index:
// the same message delivered again has the same events in the same places. A
// mapping that splits may know a better one.
func senderID(it *payload.Item, messageID string, i, n int) string {
	id := it.SenderID
	switch {
	case id != "" && it.Part > 0:
		id += "/" + strconv.Itoa(it.Part)
	case id == "" && messageID != "":
		id = messageID
		if n > 1 {
			id += "/" + strconv.Itoa(i)
		}
	}
	if len(id) > maxKept {
		return "" // cutting it could make two ids one, and lose an event
	}
	return strings.ToValidUTF8(id, "�")
}

type route struct{ exchange, key string }

// meta keeps what a mapping may read. Messages of one route that have nothing
// else share one map, which is only read.
func (s *session) meta(d *amqp.Delivery) map[string]string {
	r := route{d.Exchange, d.RoutingKey}
	plain := d.Type == "" && d.AppId == "" && len(s.cfg.Headers) == 0
	if m, ok := s.routes[r]; ok && plain {
		return m
	}
	m := map[string]string{}
	keep := func(name, v string) {
		if v != "" {
			m[name] = strings.ToValidUTF8(v[:min(len(v), maxKept)], "�")
		}
	}
	keep("exchange", d.Exchange)
	keep("routing_key", d.RoutingKey)
	keep("type", d.Type)
	keep("app_id", d.AppId)
	for _, name := range s.cfg.Headers {
		if v, ok := d.Headers[name]; ok {
			keep(name, text(v))
		}
	}
	if plain && len(s.routes) < 1024 {
		s.routes[r] = m
	}
	return m
}

// attributes gives the CloudEvents attributes among the headers (binary mode,
// cloudevents/bindings/amqp-protocol-binding.md), or nil where there are none.
func attributes(h amqp.Table) iter.Seq2[string, string] {
	found := false
	for name := range h {
		if _, ok := attribute(name); ok {
			found = true
			break
		}
	}
	if !found {
		return nil
	}
	return func(yield func(string, string) bool) {
		for name, v := range h {
			if a, ok := attribute(name); ok && !yield(a, text(v)) {
				return
			}
		}
	}
}

func attribute(header string) (string, bool) {
	if a, ok := strings.CutPrefix(header, "cloudEvents:"); ok {
		return a, true
	}
	return strings.CutPrefix(header, "cloudEvents_")
}

// text writes a header's value as CloudEvents writes its types.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case nil:
		return ""
	}
	return fmt.Sprint(v)
}
