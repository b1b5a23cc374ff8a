package payload

import (
	"encoding/json"
	"errors"
	"maps"
	"testing"
)

// FuzzSplit: whatever comes in, Split does not panic, keeps its bounds, gives
// an error of a known class or JSON objects, and two calls agree.
func FuzzSplit(f *testing.F) {
	for _, body := range []string{
		`{"event_type":"interface_down","device":"switch-01","timestamp":1640000000}`,
		`[{"a":1},{"b":{"c":[null,true,1e9,"\u00e9"]}}]`, `[]`, ``, `{"a":`, `[[[[`,
		`{"specversion":"1.0","id":"1","source":"/a","type":"t","data":{"x":1}}`,
		`[{"specversion":"1.0","id":"1","source":"/a","type":"t","data_base64":"AA=="}]`,
		`payload=%7B%22a%22%3A1%7D`, "\xEF\xBB\xBF{}",
	} {
		for _, ct := range []string{"", "application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "application/x-www-form-urlencoded", "text/plain"} {
			f.Add(ct, "1", []byte(body))
			f.Add(ct, "", []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, contentType, id string, body []byte) {
		limits := Limits{Events: 10, EventBytes: 4096, Depth: 8, Values: 100}
		m := Message{ContentType: contentType, Form: true, Body: body}
		if id != "" {
			m.Attributes = maps.All(map[string]string{"specversion": "1.0", "id": id, "source": "s", "type": "t"})
		}
		items, err := Split(m, limits)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("an error of no class: %v", err)
			}
			return
		}
		if len(items) > limits.Events {
			t.Fatalf("%d events", len(items))
		}
		for _, it := range items {
			if !json.Valid(it.Raw) || it.Raw[0] != '{' {
				t.Fatalf("not a JSON object: %q", it.Raw)
			}
			again, err := Split(Message{Body: it.Raw}, Limits{})
			if err != nil || len(again) != 1 {
				t.Fatalf("an event is not read again: %v: %q", err, it.Raw)
			}
		}
	})
}
