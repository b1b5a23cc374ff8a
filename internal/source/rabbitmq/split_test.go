package rabbitmq

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/internal/normalize/payload"
	"signalbox/internal/source"
)

// TestSplit: a message whose mapping says that it carries several events is
// taken apart, within the limits.
func TestSplit(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Mapping, cfg.MaxEvents, cfg.MaxEvent = "list", 3, 80
	s := &session{routes: map[route]map[string]string{}, Source: &Source{cfg: cfg, env: source.Env{Name: "q",
		SplitPayload: func(mapping string, raw []byte) ([][]byte, error) {
			field := "alerts"
			if strings.Contains(string(raw), "specversion") {
				field = "data.alerts"
			}
			return payload.SplitList(raw, payload.Dotted(field))
		}}}}
	tests := []struct {
		name, body string
		want       []string
		broken     string
	}{
		{"two", `{"s":1,"alerts":[{"a":1},{"a":2}]}`, []string{`m1/0 {"s":1,"alerts":[{"a":1}]}`, `m1/1 {"s":1,"alerts":[{"a":2}]}`}, ""},
		{"one", `{"alerts":[1]}`, []string{`m1 {"alerts":[1]}`}, ""},
		{"longer than one may be", `{"alerts":["` + strings.Repeat("x", 50) + `","` + strings.Repeat("y", 50) + `"]}`,
			[]string{`m1/0 {"alerts":["` + strings.Repeat("x", 50) + `"]}`, `m1/1 {"alerts":["` + strings.Repeat("y", 50) + `"]}`}, ""},
		{"too many", `{"alerts":[1,2,3,4]}`, nil, "more than the 3 events"},
		{"too long", `{"a":"` + strings.Repeat("x", 100) + `"}`, nil, "more than the 80 allowed"},
		{"a CloudEvent", `{"specversion":"1.0","id":"7","source":"/n","type":"x","data":{"alerts":[1,2]}}`, []string{
			`/n 7/1 {"specversion":"1.0","id":"7","source":"/n","type":"x","data":{"alerts":[1]}}`,
			`/n 7/2 {"specversion":"1.0","id":"7","source":"/n","type":"x","data":{"alerts":[2]}}`}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := amqp.Delivery{Body: []byte(tt.body), MessageId: "m1", ContentType: "application/json"}
			if strings.Contains(tt.body, "specversion") {
				d.ContentType = "application/cloudevents+json"
			}
			m := s.read(d)
			var got []string
			for _, in := range m.inputs {
				got = append(got, in.SenderID+" "+string(in.Raw))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if tt.broken == "" && m.broken != "" || !strings.Contains(m.broken, tt.broken) {
				t.Errorf("broken: %q", m.broken)
			}
		})
	}
}
