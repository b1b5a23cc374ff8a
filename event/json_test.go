package event_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"signalbox/event"
)

func full() event.Event {
	return event.Event{
		ID: "01939f2e-7c1a-7b3a-9c2d-0123456789ab", SenderID: "m-17",
		Source: "campus", Peer: "192.0.2.7:514", Type: "interface_down", Device: "sw1", Interface: "Gi0/1",
		Time:        time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Received:    time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Data:        json.RawMessage(`{"admin_status":"up"}`),
		Raw:         []byte{0, 1, 2}, Mapping: "cisco@1", Meta: map[string]string{"X-A": "b"},
		Cause:     &event.Cause{Run: "r1", Rule: "b", Event: "e0", Rules: []string{"a", "b"}, Replay: true},
		Resubmits: "e9",
	}
}

func TestMarshalJSON(t *testing.T) {
	got, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"specversion":"1.0","id":"01939f2e-7c1a-7b3a-9c2d-0123456789ab","source":"signalbox:campus","type":"interface_down",` +
		`"subject":"sw1","time":"2026-01-02T03:04:05.000006Z","datacontenttype":"application/json","data":{"admin_status":"up"},` +
		`"device":"sw1","interface":"Gi0/1","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",` +
		`"senderid":"m-17","peer":"192.0.2.7:514","received":"2026-01-02T03:04:06Z","mapping":"cisco@1","meta":"{\"X-A\":\"b\"}",` +
		`"resubmits":"e9","rawbase64":"AAEC","caused":true,"causerun":"r1","causerule":"b","causeevent":"e0",` +
		`"causerules":"[\"a\",\"b\"]","causereplay":true}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	without, err := full().AppendJSON([]byte("x"), event.WithoutRaw())
	if err != nil || strings.Contains(string(without), "rawbase64") || without[0] != 'x' {
		t.Errorf("WithoutRaw: %s, %v", without, err)
	}
	// Every attribute must be one that CloudEvents allows.
	var attrs map[string]json.RawMessage
	if err := json.Unmarshal(got, &attrs); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`\A[a-z0-9]{1,20}\z`)
	for k, v := range attrs {
		if !name.MatchString(k) {
			t.Errorf("attribute name %q", k)
		}
		if k != "data" && (v[0] == '{' || v[0] == '[') {
			t.Errorf("attribute %s is not a simple value: %s", k, v)
		}
	}
}

func TestUnmarshalJSON(t *testing.T) {
	tests := []struct{ name, in, wantErr string }{
		{"foreign event", `{"specversion":"1.0","id":"1","source":"/x/y","type":"t","subject":"r1","comexampleother":true}`, ""},
		{"wrong version", `{"specversion":"0.3","id":"1"}`, `specversion: "0.3"`},
		{"no version", `{"id":"1"}`, `specversion: ""`},
		{"binary data", `{"specversion":"1.0","data_base64":"AA=="}`, "data_base64"},
		{"not an object", `[]`, "cannot unmarshal array"},
		{"type is a number", `{"specversion":"1.0","type":1}`, "type"},
		{"bad time", `{"specversion":"1.0","time":"yesterday"}`, "yesterday"},
		{"bad meta", `{"specversion":"1.0","meta":"["}`, "meta"},
		{"bad cause", `{"specversion":"1.0","caused":true,"causerules":"{"}`, "causerules"},
		{"bad source escape", `{"specversion":"1.0","source":"signalbox:%zz"}`, "source"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := event.Event{Type: "untouched"}
			err := json.Unmarshal([]byte(tt.in), &e)
			if tt.wantErr == "" {
				want := event.Event{ID: "1", Source: "/x/y", Type: "t", Device: "r1"}
				if err != nil || !cmp.Equal(e, want) {
					t.Errorf("got %+v, %v", e, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q in it", err, tt.wantErr)
			}
			if e.Type != "untouched" {
				t.Error("a failed read changed the event")
			}
		})
	}
}

func TestMarshalRefusesWhatIsNotJSON(t *testing.T) {
	if _, err := (event.Event{Data: json.RawMessage(`{"a":`)}).MarshalJSON(); err == nil {
		t.Error("broken data was written")
	}
	if _, err := (event.Event{Time: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)}).MarshalJSON(); err == nil {
		t.Error("a year with five digits was written")
	}
}

func TestRoundTrip(t *testing.T) {
	str := rapid.String()
	when := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		e := event.Event{
			ID: event.ID(str.Draw(t, "id")), SenderID: str.Draw(t, "sender"), Source: str.Draw(t, "source"),
			Peer: str.Draw(t, "peer"), Type: str.Draw(t, "type"), Device: str.Draw(t, "device"),
			Interface: str.Draw(t, "interface"), Time: when.Draw(t, "time"), Received: when.Draw(t, "received"),
			TraceParent: str.Draw(t, "trace"), Raw: rapid.SliceOf(rapid.Byte()).Draw(t, "raw"),
			Mapping: str.Draw(t, "mapping"), Resubmits: event.ID(str.Draw(t, "resubmits")),
			Meta: rapid.MapOf(str, str).Draw(t, "meta"),
		}
		data, err := json.Marshal(rapid.MapOf(str, str).Draw(t, "data"))
		if err != nil {
			t.Fatal(err)
		}
		e.Data = data
		if rapid.Bool().Draw(t, "caused") {
			e.Cause = &event.Cause{Run: str.Draw(t, "run"), Rule: str.Draw(t, "rule"),
				Event: event.ID(str.Draw(t, "of")), Rules: rapid.SliceOf(str).Draw(t, "rules"), Replay: rapid.Bool().Draw(t, "replay")}
		}
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back event.Event
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		var x, y any
		if json.Unmarshal(e.Data, &x) != nil || json.Unmarshal(back.Data, &y) != nil || !cmp.Equal(x, y) {
			t.Fatalf("data %s came back as %s", e.Data, back.Data)
		}
		e.Data, back.Data = nil, nil
		if diff := cmp.Diff(e, back, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzUnmarshalJSON(f *testing.F) {
	b, err := json.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"specversion":"1.0","data":null,"caused":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e event.Event
		if json.Unmarshal(b, &e) != nil {
			return
		}
		again, err := json.Marshal(e)
		if err != nil {
			return // a year beyond RFC 3339, as encoding/json itself reads it
		}
		var e2 event.Event
		if err := json.Unmarshal(again, &e2); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
