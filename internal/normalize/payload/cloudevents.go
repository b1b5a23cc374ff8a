package payload

import (
	"bytes"
	"encoding/base64"
	"iter"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// cloudEvent checks that item.Raw, which is valid JSON, is a CloudEvent 1.0 in
// the JSON format (cloudevents/formats/json-format.md), and takes its id.
func cloudEvent(item *Item) error {
	seen := map[string]string{}
	var data, data64 bool
	err := withDecoder(item.Raw, func(d *jsontext.Decoder) error {
		if _, err := d.ReadToken(); err != nil {
			return locate(err, -1)
		}
		for d.PeekKind() == '"' {
			tok, err := d.ReadToken()
			if err != nil {
				return locate(err, -1)
			}
			name := tok.String()
			switch name {
			case "data":
				data = d.PeekKind() != 'n'
				if err := d.SkipValue(); err != nil {
					return locate(err, -1)
				}
				continue
			case "data_base64":
				data64 = d.PeekKind() != 'n'
			}
			text, err := scalar(d, name)
			if err != nil {
				return err
			}
			if text != nil {
				seen[name] = *text
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if data && data64 {
		return malformed("data_base64", "a CloudEvent has data or data_base64, not both")
	}
	if data64 {
		if _, err := base64.StdEncoding.DecodeString(seen["data_base64"]); err != nil {
			return malformed("data_base64", "%v", err)
		}
		delete(seen, "data_base64")
	}
	if err := checkAttributes(seen); err != nil {
		return err
	}
	identify(item, seen)
	return nil
}

// scalar reads an attribute's value: nil for null, an error for what no
// attribute may be.
func scalar(d *jsontext.Decoder, name string) (*string, error) {
	switch d.PeekKind() {
	case 'n':
		_, err := d.ReadToken()
		return nil, err
	case '"', '0', 't', 'f':
		tok, err := d.ReadToken()
		if err != nil {
			return nil, locate(err, -1)
		}
		if k := tok.Kind(); k != '"' && (core[name] || name == "data_base64") {
			return nil, malformed(name, "this CloudEvents attribute is a string")
		}
		text := tok.String()
		return &text, nil
	}
	return nil, malformed(clip(name), "a CloudEvents attribute is a string, a number or a boolean")
}

// core are the attributes that CloudEvents 1.0 defines.
var core = map[string]bool{
	"id": true, "source": true, "type": true, "specversion": true,
	"datacontenttype": true, "dataschema": true, "subject": true, "time": true,
}

// checkAttributes checks names and values alike for all modes.
func checkAttributes(attrs map[string]string) error {
	if v, ok := attrs["specversion"]; !ok {
		return malformed("specversion", "this CloudEvents attribute is required")
	} else if v != "1.0" {
		return malformed("specversion", "CloudEvents %.20q is not known, only 1.0", v)
	}
	for _, name := range []string{"id", "source", "type"} {
		if attrs[name] == "" {
			return malformed(name, "this CloudEvents attribute is required and not empty")
		}
	}
	for _, name := range []string{"subject", "dataschema"} {
		if v, ok := attrs[name]; ok && v == "" {
			return malformed(name, "this CloudEvents attribute is left out or not empty")
		}
	}
	if v, ok := attrs["time"]; ok {
		if _, err := time.Parse(time.RFC3339, v); err != nil {
			return malformed("time", "%.60q is not a time as RFC 3339 has it", v)
		}
	}
	if v, ok := attrs["datacontenttype"]; ok {
		if media, _, err := mime.ParseMediaType(v); err != nil || !strings.Contains(media, "/") {
			return malformed("datacontenttype", "%.60q is not a media type (RFC 2046)", v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		if !isAttributeName(name) {
			return malformed(clip(name), "a CloudEvents attribute is named with a-z and 0-9 only")
		}
	}
	return nil
}

func isAttributeName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && s != "data"
}

func clip(s string) string { return s[:min(len(s), 100)] }

func identify(item *Item, attrs map[string]string) {
	item.CloudEvent = true
	item.SenderID = attrs["source"] + " " + attrs["id"]
	if tp := attrs["traceparent"]; ValidTraceParent(tp) {
		item.TraceParent = tp
	}
}

// binary makes one structured event of attributes and a body.
func binary(attributes iter.Seq2[string, string], kind mode, contentType, media string, body []byte, limits Limits) ([]Item, error) {
	attrs := map[string]string{}
	size := len(body)
	for name, v := range attributes {
		if _, dup := attrs[name]; dup {
			return nil, malformed(clip(name), "this CloudEvents attribute is given twice")
		}
		if !utf8.ValidString(v) {
			return nil, malformed(clip(name), "this CloudEvents attribute is not UTF-8")
		}
		if size += len(name) + len(v); size > limits.EventBytes || len(attrs) >= 256 {
			return nil, tooLarge("the event has more than the %d bytes allowed, or too many attributes", limits.EventBytes)
		}
		attrs[name] = v
	}
	// In binary mode the content type is the transport's own.
	delete(attrs, "datacontenttype")
	if contentType != "" {
		attrs["datacontenttype"] = contentType
	}
	if err := checkAttributes(attrs); err != nil {
		return nil, err
	}
	raw := []byte("{")
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		raw = appendMember(raw, name, attrs[name])
	}
	raw, err := appendData(raw, kind, media, body, limits)
	if err != nil {
		return nil, err
	}
	item := Item{Raw: append(raw, '}')}
	identify(&item, attrs)
	return []Item{item}, nil
}

func appendMember(b []byte, name, v string) []byte {
	if len(b) > 1 {
		b = append(b, ',')
	}
	b, _ = jsontext.AppendQuote(b, name) // both are valid UTF-8: checked
	b = append(b, ':')
	b, _ = jsontext.AppendQuote(b, v)
	return b
}

// appendData writes the body as the member data: JSON as it is, text as a
// string, anything else as data_base64.
func appendData(raw []byte, kind mode, media string, body []byte, limits Limits) ([]byte, error) {
	switch {
	case len(body) == 0:
		return raw, nil
	case kind == plain:
		if err := checkData(body, limits); err != nil {
			return nil, err
		}
		raw = append(raw, `,"data":`...)
		return append(raw, bytes.TrimSpace(body)...), nil
	case strings.HasPrefix(media, "text/") && utf8.Valid(body):
		return appendMember(raw, "data", string(body)), nil
	}
	if base64.StdEncoding.EncodedLen(len(body)) > limits.EventBytes {
		return nil, tooLarge("the event has more than the %d bytes allowed", limits.EventBytes)
	}
	return appendMember(raw, "data_base64", base64.StdEncoding.EncodeToString(body)), nil
}

func checkData(body []byte, limits Limits) error {
	if err := scan(body, limits.Depth-1, limits.Values); err != nil {
		return err
	}
	return withDecoder(body, func(d *jsontext.Decoder) error {
		if err := d.SkipValue(); err != nil {
			err = locate(err, -1)
			if e := err.(*Error); e.Field != "" {
				e.Field = "data." + e.Field
			} else {
				e.Field = "data"
			}
			return err
		}
		return atEnd(d)
	})
}

// ValidTraceParent says whether s is a traceparent header value as W3C Trace
// Context has it: version 00 exactly, or a later one that begins the same way.
func ValidTraceParent(s string) bool {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !isHex(version) || !isHex(trace) || !isHex(parent) || !isHex(flags) {
		return false
	}
	if version == "ff" || strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return false
	}
	if version == "00" {
		return len(s) == 55
	}
	// A later version may say more; keep it bounded and printable.
	return len(s) == 55 || s[55] == '-' && len(s) <= 256 && strings.Trim(s[55:], "0123456789abcdefghijklmnopqrstuvwxyz-") == ""
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
