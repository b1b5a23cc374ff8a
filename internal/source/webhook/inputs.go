package webhook

import (
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"signalbox/internal/normalize"
	"signalbox/internal/normalize/payload"
)

// maxKept bounds a header value that is kept with an event, and a sender's id.
const maxKept = 512

// split takes a body apart into events: those of its array, and of each those
// that the mapping finds in it. Before that every event must carry the secret,
// where it is the body that does, and loses it there.
func (s *Source) split(r *http.Request, body []byte, mem *lease) ([]payload.Item, *problem) {
	limits := payload.Limits{Events: s.cfg.MaxEvents, EventBytes: s.cfg.MaxEvent}
	whole := limits
	if s.splits() {
		whole.EventBytes = max(s.cfg.MaxBody, s.cfg.MaxInflated) // of its parts each is held to max_event
	}
	items, err := payload.Split(payload.Message{
		ContentType: r.Header.Get("Content-Type"), Attributes: attributes(r.Header), Form: s.cfg.Form, Body: body,
	}, whole)
	if err != nil {
		return nil, notUnderstood(err)
	}
	if s.checks.event != nil {
		if no := s.checks.event(items); no != nil {
			return nil, no.problem()
		}
	}
	if !s.splits() {
		return items, nil
	}
	items, err = payload.Parts(items, limits, func(raw []byte) ([][]byte, error) {
		return s.env.SplitPayload(s.cfg.Mapping, raw)
	})
	if err != nil {
		return nil, notUnderstood(err)
	}
	size := 0
	for i := range items {
		if items[i].Part > 0 {
			size += len(items[i].Raw)
		}
	}
	if !mem.grow(size) {
		return nil, busy("too many bodies are being read")
	}
	return items, nil
}

func (s *Source) splits() bool { return s.env.SplitPayload != nil && s.cfg.Mapping != "" }

// inputs makes what the log takes of the events of one request.
func (s *Source) inputs(r *http.Request, name string, items []payload.Item, received time.Time) []normalize.Input {
	trace := r.Header.Get("Traceparent")
	if !payload.ValidTraceParent(trace) {
		trace = ""
	}
	meta := s.meta(r.Header)
	out := make([]normalize.Input, len(items))
	for i := range items {
		it := &items[i]
		in := &out[i]
		*in = normalize.Input{
			Source: name, Form: normalize.Payload, Mapping: s.cfg.Mapping,
			Raw: it.Raw, Peer: r.RemoteAddr, Received: received,
			SenderID: s.senderID(r, it, i, len(items)), TraceParent: trace, Meta: meta,
		}
		if it.TraceParent != "" {
			in.TraceParent = it.TraceParent
		}
	}
	return out
}

// meta keeps the configured headers. The map is shared by the events of one
// request, which only read it.
func (s *Source) meta(h http.Header) map[string]string {
	if len(s.headers) == 0 {
		return nil
	}
	out := make(map[string]string, len(s.headers))
	for _, name := range s.headers {
		if v := h.Get(name); v != "" {
			out[name] = strings.ToValidUTF8(v[:min(len(v), maxKept)], "�")
		}
	}
	return out
}

// senderID is the event's own name where it has one (the configured field, a
// CloudEvent's source and id), and else the request's with the event's index:
// the same request sent again has the same events in the same places. A mapping
// that splits may know a better one.
func (s *Source) senderID(r *http.Request, it *payload.Item, i, n int) string {
	own := it.SenderID
	if s.idPath != nil {
		own = lookup(it.Raw, s.idPath)
	}
	if own != "" && it.Part > 0 {
		own += "/" + strconv.Itoa(it.Part)
	}
	if own != "" || s.idPath != nil {
		return bounded(own)
	}
	if s.idHead == "" {
		return ""
	}
	id := bounded(r.Header.Get(s.idHead))
	if id == "" || n == 1 {
		return id
	}
	return id + "/" + strconv.Itoa(i)
}

func bounded(id string) string {
	if len(id) > maxKept {
		return "" // cutting it could make two ids one, and lose an event
	}
	return strings.ToValidUTF8(id, "�")
}

// lookup finds a string or number in a JSON object by its path.
func lookup(raw []byte, names []string) string {
	v := jsontext.Value(raw)
	for _, name := range names {
		if v = member(v, name); v == nil {
			return ""
		}
	}
	switch v.Kind() {
	case '"':
		text, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return ""
		}
		return string(text)
	case '0':
		return string(v)
	}
	return ""
}

func member(v jsontext.Value, name string) jsontext.Value {
	if v.Kind() != '{' {
		return nil
	}
	d := jsontext.NewDecoder(strings.NewReader(string(v)))
	if _, err := d.ReadToken(); err != nil {
		return nil
	}
	for d.PeekKind() == '"' {
		tok, err := d.ReadToken()
		if err != nil {
			return nil
		}
		if tok.String() == name {
			out, err := d.ReadValue()
			if err != nil {
				return nil
			}
			return out.Clone()
		}
		if err := d.SkipValue(); err != nil {
			return nil
		}
	}
	return nil
}

// attributes gives the CloudEvents attributes in the headers (binary mode,
// cloudevents/bindings/http-protocol-binding.md), or nil where there are none.
func attributes(h http.Header) iter.Seq2[string, string] {
	if len(h["Ce-Specversion"]) == 0 && len(h["Ce-Id"]) == 0 && len(h["Ce-Type"]) == 0 {
		return nil
	}
	return func(yield func(string, string) bool) {
		for name, values := range h {
			attr, ok := strings.CutPrefix(name, "Ce-")
			if !ok {
				continue
			}
			for _, v := range values {
				if !yield(strings.ToLower(attr), percentDecoded(v)) {
					return
				}
			}
		}
	}
}

func percentDecoded(v string) string {
	if !strings.Contains(v, "%") {
		return v
	}
	if text, err := url.PathUnescape(v); err == nil {
		return text
	}
	return v
}
