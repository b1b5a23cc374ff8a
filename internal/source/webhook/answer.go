package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"signalbox/internal/normalize/payload"
	"signalbox/internal/source"
)

// problem is an answer that is not 2xx, written as RFC 9457 has it.
type problem struct {
	status int
	reason string // for the counters: a short constant
	detail string // for the sender

	field  string // what of the body is to blame
	event  int    // index of the event in its array, -1 or 0 where there is one only
	offset int64  // byte in the body, 0 for none

	retryAfter     int // seconds
	challenge      string
	acceptEncoding string
	allow          string
	close          bool // the connection is of no more use

	receipts []source.Receipt
}

func busy(detail string) *problem {
	return &problem{status: http.StatusTooManyRequests, reason: "busy", detail: detail + ": send it again later", retryAfter: 1}
}

func unavailable(detail string) *problem {
	return &problem{status: http.StatusServiceUnavailable, reason: "unavailable", detail: detail, retryAfter: 5}
}

func tooLarge(size int64, limit int) *problem {
	p := &problem{status: http.StatusRequestEntityTooLarge, reason: "too_large", close: true,
		detail: fmt.Sprintf("the body is larger than the %d bytes allowed", limit)}
	if size >= 0 {
		p.detail = fmt.Sprintf("the body has %d bytes, more than the %d allowed", size, limit)
	}
	return p
}

// notUnderstood is the answer to a body that payload.Split refuses.
func notUnderstood(err error) *problem {
	p := &problem{status: http.StatusBadRequest, reason: "malformed", detail: err.Error()}
	switch {
	case errors.Is(err, payload.ErrTooLarge):
		p.status, p.reason = http.StatusRequestEntityTooLarge, "too_large"
	case errors.Is(err, payload.ErrUnsupported):
		p.status, p.reason = http.StatusUnsupportedMediaType, "unsupported"
	}
	var e *payload.Error
	if errors.As(err, &e) {
		p.field, p.event, p.offset = e.Field, e.Event, e.Offset
	}
	return p
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	set := func(name, v string) {
		if v != "" {
			h.Set(name, v)
		}
	}
	set("WWW-Authenticate", p.challenge)
	set("Accept-Encoding", p.acceptEncoding)
	set("Allow", p.allow)
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.close {
		h.Set("Connection", "close")
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.status)
	_, _ = w.Write(p.body())
}

func (p *problem) body() []byte {
	b := append([]byte(nil), `{"type":"about:blank","title":`...)
	b = appendText(b, http.StatusText(p.status))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.status), 10)
	b = append(b, `,"detail":`...)
	b = appendText(b, p.detail)
	if p.field != "" {
		b = append(b, `,"field":`...)
		b = appendText(b, p.field)
	}
	if p.event > 0 {
		b = append(b, `,"event":`...)
		b = strconv.AppendInt(b, int64(p.event), 10)
	}
	if p.offset > 0 {
		b = append(b, `,"offset":`...)
		b = strconv.AppendInt(b, p.offset, 10)
	}
	if p.receipts != nil {
		b = append(b, `,"events":`...)
		b = appendReceipts(b, p.receipts)
	}
	return append(b, "}\n"...)
}

// accepted answers 202: every event is on disk.
func accepted(w http.ResponseWriter, receipts []source.Receipt) {
	b := make([]byte, 0, 16+56*len(receipts))
	b = append(b, `{"events":`...)
	b = appendReceipts(b, receipts)
	b = append(b, "}\n"...)
	h := w.Header()
	h["Content-Type"] = jsonType
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(b)
}

var jsonType = []string{"application/json"}

func appendReceipts(b []byte, receipts []source.Receipt) []byte {
	b = append(b, '[')
	for i, r := range receipts {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = appendText(b, r.ID)
		if r.Rejected != "" {
			b = append(b, `,"rejected":`...)
			b = appendText(b, r.Rejected)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendText(b []byte, text string) []byte {
	out, err := jsontext.AppendQuote(b, text)
	if err != nil { // not UTF-8: the standard library replaces what is wrong
		q, _ := json.Marshal(text)
		return append(b, q...)
	}
	return out
}

// logDown says that the log cannot be written, and why as far as it is a
// sender's business.
func logDown(err error) string {
	if errors.Is(err, source.ErrDiskFull) {
		return "the event log cannot be written at present, " + source.ErrDiskFull.Error()
	}
	return "the event log cannot be written at present"
}

// outcome turns receipts into the answer: nil for 202.
func outcome(receipts []source.Receipt) *problem {
	rejected := 0
	for _, r := range receipts {
		if r.Err != nil {
			return unavailable(logDown(r.Err) + ": it is not known whether the events are in it; send them again")
		}
		if r.Rejected != "" {
			rejected++
		}
	}
	if rejected == 0 || rejected < len(receipts) {
		return nil
	}
	p := &problem{status: http.StatusBadRequest, receipts: receipts, event: -1}
	if len(receipts) == 1 {
		p.detail = fmt.Sprintf("%s (kept in the log as rejected event %s)", receipts[0].Rejected, receipts[0].ID)
		p.field = fieldOf(receipts[0].Rejected)
	} else {
		p.detail = fmt.Sprintf("all %d events were rejected, the first: %s", len(receipts), receipts[0].Rejected)
	}
	return p
}

// fieldOf takes the field out of a reason that begins with it, as reasons of
// rejections do: `data.interface: …` or `field "interface": …`.
func fieldOf(reason string) string {
	end := 0
	for end < len(reason) {
		c := reason[end]
		if c == ':' && end > 0 {
			return reason[:end]
		}
		if c != '.' && c != '_' && c != '[' && c != ']' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return ""
		}
		end++
	}
	return ""
}
