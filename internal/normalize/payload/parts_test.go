package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	jsonscan "signalbox/internal/schema/scan"
)

func TestRedact(t *testing.T) {
	top := Dotted("sharedSecret")
	tests := []struct {
		name, doc string
		path      []Step
		want      string
	}{
		{"a member", `{"a":1, "sharedSecret" : "s3", "b":2}`, top, `{"a":1, "sharedSecret" : "[redacted]", "b":2}`},
		{"not there", `{"a":{"sharedSecret":"other"}}`, top, `{"a":{"sharedSecret":"other"}}`},
		{"null tells nothing", `{"sharedSecret":null}`, top, `{"sharedSecret":null}`},
		{"twice", `{"sharedSecret":"s3","sharedSecret":"s4"}`, top, `{"sharedSecret":"[redacted]","sharedSecret":"[redacted]"}`},
		{"an escaped name", `{"shared\u0053ecret":"s3"}`, top, `{"shared\u0053ecret":"[redacted]"}`},
		{"no text", `{"sharedSecret":{"k":["s3"]}}`, top, `{"sharedSecret":"[redacted]"}`},
		{"nested", `{"auth":{"token":"s3"},"token":1}`, Dotted("auth.token"), `{"auth":{"token":"[redacted]"},"token":1}`},
		{"an element", `{"l":["a","b"]}`, []Step{{Name: "l"}, {Index: 1}}, `{"l":["a","[redacted]"]}`},
		{"every element", `{"l":[{"t":"a"},{},{"t":"b"}]}`, []Step{{Name: "l"}, {Index: EveryElement}, {Name: "t"}},
			`{"l":[{"t":"[redacted]"},{},{"t":"[redacted]"}]}`},
		{"no path", `{"a":1}`, nil, `{"a":1}`},
		{"damaged: blanked wherever the name stands", `{"x":{"sharedSecret": "s3\"4"},"sharedSecret":5,"a":`, top,
			`{"x":{"sharedSecret": "[redacted]"},"sharedSecret":"[redacted]","a":`},
		{"damaged: cut off in the secret", `{"sharedSecret":"s3`, top, `{"sharedSecret":"[redacted]"`},
		{"no object", `[{"sharedSecret":"s3"}, 5]`, top, `[{"sharedSecret":"[redacted]"}, 5]`},
		{"damaged: no value", `{"sharedSecret" `, top, `{"sharedSecret" `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := []byte(tt.doc)
			got := Redact(doc, tt.path)
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if string(doc) != tt.doc {
				t.Errorf("the document was written to: %s", doc)
			}
			if again := Redact(got, tt.path); !bytes.Equal(again, got) {
				t.Errorf("a second time: %s", again)
			}
		})
	}
}

func TestSplitList(t *testing.T) {
	tests := []struct {
		name, doc, path string
		want            []string
	}{
		{"two", `{"s":1,"l":[ {"a":1}, {"a":2} ],"t":2}`, "l", []string{`{"s":1,"l":[{"a":1}],"t":2}`, `{"s":1,"l":[{"a":2}],"t":2}`}},
		{"deep, not objects", `{"d":{"l":[1,"x",[]]}}`, "d.l", []string{`{"d":{"l":[1]}}`, `{"d":{"l":["x"]}}`, `{"d":{"l":[[]]}}`}},
		{"one", `{"l":[1]}`, "l", nil},
		{"none", `{"l":[]}`, "l", nil},
		{"no list", `{"l":{"0":1}}`, "l", nil},
		{"not there", `{}`, "l", nil},
		{"null", `{"l":null}`, "l", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parts, err := SplitList([]byte(tt.doc), Dotted(tt.path))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprintf("%q", parts), fmt.Sprintf("%q", tt.want); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	// A small body must not become a large one.
	bomb := `{"pad":"` + strings.Repeat("x", 200<<10) + `","l":[` + strings.Repeat("1,", 999) + `1]}`
	if _, err := SplitList([]byte(bomb), Dotted("l")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("200 KB a thousand times: %v", err)
	}
}

func TestParts(t *testing.T) {
	list := func(raw []byte) ([][]byte, error) { return SplitList(raw, Dotted("l")) }
	items := []Item{{Raw: []byte(`{"a":1}`)}, {Raw: []byte(`{"l":[1,2]}`), SenderID: "s 1", TraceParent: "t", CloudEvent: true}, {Raw: []byte(`{}`)}}
	got, err := Parts(items, Limits{}, list)
	want := `[{"a":1}   0 false][{"l":[1]} s 1 t 1 true][{"l":[2]} s 1 t 2 true][{}   0 false]`
	text := ""
	for _, it := range got {
		text += fmt.Sprintf("[%s %s %s %d %v]", it.Raw, it.SenderID, it.TraceParent, it.Part, it.CloudEvent)
	}
	if err != nil || text != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, text, want)
	}
	for name, limits := range map[string]Limits{"events": {Events: 3}, "bytes of one": {EventBytes: 8}} {
		if _, err := Parts(items, limits, list); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := Parts(items[:1], Limits{}, list); err != nil || len(got) != 1 || got[0].Part != 0 {
		t.Errorf("nothing to split: %+v, %v", got, err)
	}
}

// FuzzRedact: whatever the bytes, what is JSON stays JSON and loses the secret,
// and a split keeps every element.
func FuzzRedact(f *testing.F) {
	for _, s := range []string{`{"k":"s"}`, `{"k":[{"k":1},{"k":"s"}]}`, `{"\u006b":1,"k":2}`, `{"k":"`, `"k":"k":"k"`, `{"l":[1,2,{"k":3}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got := Redact(doc, Dotted("k"))
		if jsonscan.Check(doc, maxDepth) != nil {
			return
		}
		if err := jsonscan.Check(got, maxDepth); err != nil {
			t.Fatalf("%q became %q: %v", doc, got, err)
		}
		for name, v := range jsonscan.Members(got) {
			if jsonscan.NameIs(name, "k") && string(v) != Redacted && !jsonscan.IsNull(v) {
				t.Fatalf("%q kept %q", doc, v)
			}
		}
		parts, err := SplitList(doc, Dotted("l"))
		if err != nil || parts == nil {
			return
		}
		var whole, one struct {
			L []json.RawMessage `json:"l"`
		}
		if json.Unmarshal(doc, &whole) != nil || len(whole.L) != len(parts) {
			return // names that the library takes for the same
		}
		for i, p := range parts {
			one.L = nil
			if err := json.Unmarshal(p, &one); err != nil || len(one.L) != 1 || !bytes.Equal(one.L[0], whole.L[i]) {
				t.Fatalf("part %d of %q is %q: %v", i, doc, p, err)
			}
		}
	})
}
