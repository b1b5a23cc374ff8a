package payload

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	obj := `{"event_type":"interface_down","device":"switch-01"}`
	tests := []struct {
		name, contentType, body string
		want                    []string
	}{
		{"object", "application/json", obj, []string{obj}},
		{"no content type", "", obj, []string{obj}},
		{"charset", "application/json; charset=UTF-8", obj, []string{obj}},
		{"text/json", "text/json", obj, []string{obj}},
		{"suffix", "application/vnd.example.alert+json", obj, []string{obj}},
		{"space around", "", " \r\n" + obj + "\n", []string{obj}},
		{"byte order mark", "", "\xEF\xBB\xBF" + obj, []string{obj}},
		{"array", "", ` [{"a":1} , {"b":[1,2]}]`, []string{`{"a":1}`, `{"b":[1,2]}`}},
		{"empty array", "", "[]", []string{}},
		{"brackets in strings", "", `{"a":"[[[[{{{{\"[\\"}`, []string{`{"a":"[[[[{{{{\"[\\"}`}},
		{"form", "application/x-www-form-urlencoded", "x=1&payload=%7B%22a%22%3A%22b+c%22%7D", []string{`{"a":"b c"}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			items, err := Split(Message{ContentType: tt.contentType, Form: true, Body: []byte(tt.body)}, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, it := range items {
				got = append(got, string(it.Raw))
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSplitErrors(t *testing.T) {
	tests := []struct {
		name, contentType, body string
		class                   error
		says                    string // a part of the message
		field                   string
	}{
		{"empty", "", "", ErrMalformed, "empty", ""},
		{"scalar", "", `"text"`, ErrMalformed, "an event is a JSON object", ""},
		{"truncated", "", `{"device":"sw`, ErrMalformed, "byte", "device"},
		{"bad literal", "", `{"data":{"mtu":tru}}`, ErrMalformed, "not valid JSON", "data.mtu"},
		{"twice", "", `{"device":"a","device":"b"}`, ErrMalformed, "duplicate", "device"},
		{"twice in the second", "", `[{"a":1},{"device":"a","device":"b"}]`, ErrMalformed, "event 1:", "device"},
		{"not UTF-8", "", "{\"device\":\"\xff\"}", ErrMalformed, "UTF-8", "device"},
		{"lone surrogate", "", `{"device":"\ud800"}`, ErrMalformed, "not valid JSON", "device"},
		{"more after", "", `{"a":1} {"b":2}`, ErrMalformed, "more follows", ""},
		{"array of scalars", "", `[{"a":1},2]`, ErrMalformed, "event 1:", ""},
		{"array of arrays", "", `[[{"a":1}]]`, ErrMalformed, "event 0:", ""},
		{"array not closed", "", `[{"a":1}`, ErrMalformed, "not valid JSON", ""},
		{"control byte", "", "{\"device\":\"a\nb\"}", ErrMalformed, "not valid JSON", "device"},
		{"deep", "", `{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + "}", ErrTooLarge, "nested", ""},
		{"deep bomb", "", strings.Repeat("[", 1<<20), ErrTooLarge, "nested", ""},
		{"many values", "", "[" + strings.Repeat("1,", 70000) + "1]", ErrTooLarge, "values", ""},
		{"many events", "", "[" + strings.Repeat("{},", 1000) + "{}]", ErrTooLarge, "1000 events", ""},
		{"long event", "", `{"a":"` + strings.Repeat("x", 256<<10) + `"}`, ErrTooLarge, "262144", ""},
		{"long second event", "", `[{},{"a":"` + strings.Repeat("x", 256<<10) + `"}]`, ErrTooLarge, "event 1:", ""},
		{"xml", "application/xml", "<a/>", ErrUnsupported, "application/xml", ""},
		{"text", "text/plain", "{}", ErrUnsupported, "text/plain", ""},
		{"no such type", ";;", "{}", ErrUnsupported, "cannot be read", ""},
		{"latin-1", "application/json; charset=iso-8859-1", "{}", ErrUnsupported, "charset", ""},
		{"avro", "application/cloudevents+avro", "{}", ErrUnsupported, "only JSON", ""},
		{"form not allowed", "application/x-www-form-urlencoded", "payload={}", ErrUnsupported, "curl", ""},
		{"structured array", "application/cloudevents+json", "[]", ErrMalformed, "one JSON object", ""},
		{"batch object", "application/cloudevents-batch+json", "{}", ErrMalformed, "JSON array", ""},
		{"no id", "application/cloudevents+json", `{"specversion":"1.0","source":"a","type":"b"}`, ErrMalformed, "required", "id"},
		{"id is a number", "application/cloudevents+json", `{"specversion":"1.0","id":1,"source":"a","type":"b"}`, ErrMalformed, "string", "id"},
		{"object as extension", "application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"a","type":"b","x":{}}`, ErrMalformed, "a string, a number", "x"},
		{"bad base64", "application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"a","type":"b","data_base64":"*"}`, ErrMalformed, "base64", "data_base64"},
		{"second of batch", "application/cloudevents-batch+json", `[{"specversion":"1.0","id":"1","source":"a","type":"b"},{"specversion":"1.0"}]`, ErrMalformed, "event 1:", "id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			items, err := Split(Message{ContentType: tt.contentType, Body: []byte(tt.body)}, Limits{})
			if !errors.Is(err, tt.class) {
				t.Fatalf("error %v (items %d), want class %v", err, len(items), tt.class)
			}
			if items != nil {
				t.Errorf("items beside an error")
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
			var e *Error
			if !errors.As(err, &e) || e.Field != tt.field {
				t.Errorf("field %q, want %q (%v)", e.Field, tt.field, err)
			}
		})
	}
}

func TestBinaryMode(t *testing.T) {
	base := map[string]string{
		"specversion": "1.0", "id": "a-1", "source": "/netbox", "type": "com.example.link",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	with := func(k, v string) map[string]string {
		m := maps.Clone(base)
		m[k] = v
		return m
	}
	tests := []struct {
		name, contentType, body string
		attrs                   map[string]string
		data                    string // the members that carry the data
		errField                string
	}{
		{"JSON", "application/json", ` {"a":[1]} `, base, `{"data":{"a":[1]}}`, ""},
		{"JSON scalar", "application/json", `7`, base, `{"data":7}`, ""},
		{"no content type", "", `{"a":1}`, base, `{"data":{"a":1}}`, ""},
		{"text", "text/plain", `say "hi"`, base, `{"data":"say \"hi\""}`, ""},
		{"bytes", "application/octet-stream", "\x00\xff", base, `{"data_base64":"AP8="}`, ""},
		{"no data", "application/json", "", base, `{}`, ""},
		{"extension", "application/json", "1", with("site", "lon\n1"), `{"data":1,"site":"lon\n1"}`, ""},
		{"bad data", "application/json", `{"a":{"b":tru}}`, base, "", "data.a.b"},
		{"no type", "application/json", `{}`, with("type", ""), "", "type"},
		{"bad name", "application/json", `{}`, with("x-y", "1"), "", "x-y"},
		{"attribute named data", "application/json", `{}`, with("data", "1"), "", "data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			items, err := Split(Message{ContentType: tt.contentType, Attributes: maps.All(tt.attrs), Body: []byte(tt.body)}, Limits{})
			if tt.errField != "" {
				var e *Error
				if !errors.As(err, &e) || e.Field != tt.errField || !errors.Is(err, ErrMalformed) {
					t.Fatalf("error %v, want field %q", err, tt.errField)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			it := items[0]
			if it.SenderID != "/netbox a-1" || it.TraceParent != base["traceparent"] || !it.CloudEvent {
				t.Errorf("item %+v", it)
			}
			// Raw alone is a CloudEvent with the same attributes and data.
			again, err := Split(Message{ContentType: "application/cloudevents+json", Body: it.Raw}, Limits{})
			if err != nil {
				t.Fatalf("not structured mode: %v\n%s", err, it.Raw)
			}
			if again[0].SenderID != it.SenderID {
				t.Errorf("read again it is %q", again[0].SenderID)
			}
			got, want := map[string]any{}, map[string]any{}
			for k, v := range tt.attrs {
				want[k] = v
			}
			if tt.contentType != "" {
				want["datacontenttype"] = tt.contentType
			}
			must(t, json.Unmarshal([]byte(tt.data), &want))
			must(t, json.Unmarshal(it.Raw, &got))
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestValidTraceParent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	tests := map[string]bool{
		good: true, "": false, good[:54]: false, good + "-x": false,
		"01" + good[2:] + "-extra1": true, "01" + good[2:] + "x": false, "01" + good[2:] + "-\x1b": false,
		"ff" + good[2:]: false, strings.ToUpper(good): false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
	}
	for s, want := range tests {
		if got := ValidTraceParent(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
