package normalize

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// notification is one of Alertmanager with an alert for each given status.
func notification(group string, alerts ...string) string {
	return fmt.Sprintf(`{"version":"4","groupKey":%q,"status":"firing","commonLabels":{"alertname":"Link"},"alerts":[%s]}`, group, strings.Join(alerts, ", "))
}

func alertOf(device, fingerprint, status, starts string) string {
	return fmt.Sprintf(`{"status":%q,"labels":{"alertname":"Link","instance":"%s:9100"},"startsAt":%q,"endsAt":"2026-01-05T11:00:00Z","fingerprint":%q}`, status, device, starts, fingerprint)
}

// TestEach: a notification becomes an event for each of its alerts, and what is
// kept of each maps again to the same.
func TestEach(t *testing.T) {
	n := load(t)
	const start = "2026-01-05T10:00:00Z"
	body := notification("g", alertOf("sw1", "f1", "firing", start), alertOf("sw2", "f2", "resolved", start), alertOf("sw3", "f3", "firing", start))
	for _, mapping := range []string{"alertmanager", "grafana"} {
		t.Run(mapping, func(t *testing.T) {
			parts, err := n.SplitPayload(mapping, []byte(body))
			if err != nil || len(parts) != 3 {
				t.Fatalf("%d parts, %v", len(parts), err)
			}
			var got []string
			for _, raw := range parts {
				in := payloadInput(string(raw))
				in.Mapping, in.SenderID = mapping, "request-9/1"
				res := n.Normalize(in)
				again := in
				again.Raw, again.SenderID = res.Event.Raw, res.Event.SenderID
				if diff := cmp.Diff(res, n.Normalize(again)); diff != "" {
					t.Errorf("mapped again from the log it differs:\n%s", diff)
				}
				if parts, err := n.SplitPayload(mapping, res.Event.Raw); parts != nil || err != nil {
					t.Errorf("what is kept splits again: %q, %v", parts, err)
				}
				ev := res.Event
				got = append(got, fmt.Sprint(ev.Type, " ", ev.Device, " ", ev.Time.Format("15:04"), " ", ev.SenderID, res.Reject))
			}
			want := []string{"alert sw1 10:00 f1 " + start + " firing", "alert_resolved sw2 11:00 f2 " + start + " resolved", "alert sw3 10:00 f3 " + start + " firing"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEachAgain: an alert that is notified again is the same event, also in
// another company and alone; the same trouble anew is another.
func TestEachAgain(t *testing.T) {
	n := load(t)
	id := func(body string, nth int) string {
		raw := []byte(body)
		parts, err := n.SplitPayload("alertmanager", raw)
		if err != nil {
			t.Fatal(err)
		}
		if parts != nil {
			raw = parts[nth]
		}
		in := payloadInput(string(raw))
		in.Mapping = "alertmanager"
		return n.Normalize(in).Event.SenderID
	}
	one := alertOf("sw1", "f1", "firing", "2026-01-05T10:00:00Z")
	first := id(notification("g", one, alertOf("sw2", "f2", "firing", "2026-01-05T10:00:00Z")), 0)
	if again := id(notification("g", one), 0); again != first || first == "" {
		t.Errorf("notified again: %q, before %q", again, first)
	}
	for name, alert := range map[string]string{
		"anew":     alertOf("sw1", "f1", "firing", "2026-01-05T12:00:00Z"),
		"resolved": alertOf("sw1", "f1", "resolved", "2026-01-05T10:00:00Z"),
		"another":  alertOf("sw2", "f2", "firing", "2026-01-05T10:00:00Z"),
	} {
		if other := id(notification("g", alert), 0); other == first || other == "" {
			t.Errorf("%s: %q is no other than %q", name, other, first)
		}
	}
}

// TestEachNone: without a list the message is one event, which is kept.
func TestEachNone(t *testing.T) {
	n := load(t)
	for _, body := range []string{`{"status":"firing"}`, `{"status":"firing","alerts":[]}`, `{"status":"firing","alerts":null}`, `{"status":"firing","alerts":{}}`} {
		if parts, err := n.SplitPayload("alertmanager", []byte(body)); parts != nil || err != nil {
			t.Errorf("%s: %q, %v", body, parts, err)
		}
		in := payloadInput(body)
		in.Mapping = "alertmanager"
		if ex := n.Explain(in); ex.Result.Event.Type != "webhook" || !strings.Contains(ex.Result.Why, "no list $.alerts") {
			t.Errorf("%s: %s, %s", body, ex.Result.Event.Type, ex.Result.Why)
		}
	}
	if parts, err := n.SplitPayload("netbox", []byte(`{"alerts":[1,2]}`)); parts != nil || err != nil {
		t.Errorf("a mapping without each: %q, %v", parts, err)
	}
}

// TestEachLanguage covers what `each` may name: the element whole, elements
// that are no objects, odd names, and several lists.
func TestEachLanguage(t *testing.T) {
	n, err := only(t, `form: payload
mappings:
  - name: p.ports
    each: $.site.ports
    when: {each: {prefix: [Gi]}}
    type: t_port
    interface: '{each}'
    data: {site: '{$.site.name}', first: '{$.site.ports[0]}'}
    examples: [{raw: '{}', type: none}]
  - name: p.rows
    each: $.rows
    type: t_row
    data: {all: '{each}', odd: "{each['odd name']}", cell: '{each.c[1]}'}
    redact: [each.token, $.key]
    examples: [{raw: '{}', type: none}]
`)
	if err != nil {
		t.Fatal(err)
	}
	run := func(body string) (out []string) {
		parts, err := n.SplitPayload("p", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if parts == nil {
			parts = [][]byte{[]byte(body)}
		}
		for _, raw := range parts {
			in := payloadInput(string(raw))
			in.Mapping = "p"
			ev := n.Normalize(in).Event
			out = append(out, ev.Type+" "+ev.Interface+" "+string(ev.Data))
		}
		return out
	}
	for body, want := range map[string][]string{
		`{"site":{"name":"c","ports":["Gi1","Te2"]}}`: {`t_port Gi1 {"site":"c","first":"Gi1"}`, `webhook  {"body":{"site":{"name":"c","ports":["Te2"]}}}`},
		`{"key":"s3","rows":[{"odd name":1,"c":[0,"x"],"token":"s3"},{}]}`: {
			`t_row  {"all":{"odd name":1,"c":[0,"x"],"token":"[redacted]"},"odd":1,"cell":"x"}`, `t_row  {"all":{}}`},
	} {
		if diff := cmp.Diff(want, run(body)); diff != "" {
			t.Errorf("%s:\n%s", body, diff)
		}
	}
}

func TestEachMistakes(t *testing.T) {
	for src, want := range map[string]string{
		`{name: p.x, form: payload, each: alerts, type: t_x, examples: [{raw: '{}', type: none}]}`:                   `each: "alerts" is no path`,
		`{name: p.x, form: payload, each: $, type: t_x, examples: [{raw: '{}', type: none}]}`:                        `each: name the list`,
		`{name: p.x, form: payload, type: '{each.t}', examples: [{raw: '{}', type: none}]}`:                          `"each.t": the mapping does not say with`,
		`{name: p.x, form: payload, redact: [each.t], type: t_x, examples: [{raw: '{}', type: none}]}`:               `redact: "each.t": the mapping does not say`,
		`{name: p.x, form: payload, redact: [secret], type: t_x, examples: [{raw: '{}', type: none}]}`:               `redact: name the secret`,
		`{name: p.x, form: payload, redact: $, type: t_x, examples: [{raw: '{}', type: none}]}`:                      `redact: name the secret`,
		`{name: s.x, form: syslog, app: x, each: $.a, type: t_x, examples: [{raw: x, type: none}]}`:                  `each: is for payload mappings`,
		`{name: p.x, form: payload, each: $.a, type: '{each.t', examples: [{raw: '{}', type: none}]}`:                `has no "}"`,
		`{name: p.x, form: payload, each: $.a, type: t_x, device: '{each..t}', examples: [{raw: '{}', type: none}]}`: `a dot with no name`,
	} {
		_, err := only(t, "mappings:\n  - "+src+"\n")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "m.yaml:2:") {
			t.Errorf("%s:\n got %v\nwant %s", src, err, want)
		}
	}
}

// TestSecretInBody: a secret that a mapping names is in nothing that comes out,
// whichever mapping takes the message, whether it is mapped at all, and also
// where the body is damaged.
func TestSecretInBody(t *testing.T) {
	n := load(t)
	const canary = "canarymeraki5d21f0"
	for name, body := range map[string]string{
		"mapped":      `{"sharedSecret":"` + canary + `","alertTypeId":"stopped_reporting","deviceName":"sw1"}`,
		"as labels":   `{"sharedSecret":"` + canary + `","alertTypeId":"x","organizationId":"1","alertData":{"a":1}}`,
		"not mapped":  `{"sharedSecret":"` + canary + `","a":1}`,
		"our form":    `{"sharedSecret":"` + canary + `","event_type":"heartbeat","device":"sw1"}`,
		"escaped":     `{"shared\u0053ecret":"` + canary + `"}`,
		"twice":       `{"sharedSecret":"x","sharedSecret":"` + canary + `"}`,
		"damaged":     `{"alertTypeId":"x","sharedSecret": "` + canary + `",}`,
		"cut off":     `{"sharedSecret":"` + canary,
		"no object":   `[{"sharedSecret":"` + canary + `"}`,
		"an event id": `{"sharedSecret":"` + canary + `","specversion":"1.0","id":"1","source":"s","type":"t"}`,
	} {
		in := payloadInput(body)
		in.Mapping = "meraki"
		ex := n.Explain(in)
		all, err := json.Marshal(ex)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(all, []byte(canary)) || bytes.Contains(ex.Result.Event.Raw, []byte(canary)) || bytes.Contains(ex.Result.Event.Data, []byte(canary)) {
			t.Errorf("%s: the secret came out: %s", name, all)
		}
		if !bytes.Contains(ex.Result.Event.Raw, []byte(`"[redacted]"`)) {
			t.Errorf("%s: raw is %s", name, ex.Result.Event.Raw)
		}
		if string(in.Raw) != body {
			t.Errorf("%s: the input was written to", name)
		}
	}
}
