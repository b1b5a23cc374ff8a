package backtest_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/backtest"
	"signalbox/internal/decide"
	"signalbox/internal/record"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

var update = flag.Bool("update", false, "write the golden files")

var t0 = time.Date(2026, 11, 3, 2, 0, 0, 0, time.UTC)

const devices = `devices:
  - {name: core1, address: 192.0.2.1, site: north, role: core}
  - {name: sw1, address: 192.0.2.11, site: north, role: access}
  - {name: sw2, address: 192.0.2.12, site: south, role: access}
`

// candidate loads rules; each call gives an own one.
func candidate(t testing.TB, name, rules string, all ...rule.GlobalLimit) backtest.Candidate {
	t.Helper()
	cat, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	log := rule.ActionSpec{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}}}
	set, inv, diags := rule.Load(rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte(rules)}},
		Inventory: []rule.File{{Name: "devices.yaml", Data: []byte(devices)}}, Global: rule.Global{Limits: all}}, rule.Options{Catalogue: cat, Actions: []rule.ActionSpec{log}})
	if set == nil {
		for _, d := range diags {
			t.Error(d.String())
		}
		t.Fatal("the rules do not load")
	}
	return backtest.Candidate{Name: name, Rules: decide.New(set, inv)}
}

// logOf makes batches of lines "offset type device [interface]", one batch a
// line but for lines that begin with "+", which join the batch before.
func logOf(t testing.TB, text string) []*record.Batch {
	t.Helper()
	var out []*record.Batch
	n := 0
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		joins := f[0] == "+"
		at := t0
		if !joins {
			d, err := time.ParseDuration(f[0])
			if err != nil {
				t.Fatal(err)
			}
			at = t0.Add(d)
		}
		n++
		ev := &event.Event{ID: event.ID(fmt.Sprintf("01930000-0000-7000-8000-%012d", n)), Source: "campus", Type: f[1], Device: f[2],
			Received: at, Raw: fmt.Appendf(nil, "<189>message %d from %s", n, f[2])}
		if len(f) > 3 {
			ev.Interface = f[3]
		}
		switch f[1] {
		case "bgp_neighbor_down":
			ev.Data = []byte(`{"neighbor":"192.0.2.99"}`)
		}
		if !joins {
			out = append(out, &record.Batch{Seq: uint64(len(out) + 10), Time: at, Subject: record.Events})
		}
		b := out[len(out)-1]
		b.Records = append(b.Records, record.Record{Kind: record.KindEvent, Event: ev})
	}
	return out
}

func run(t testing.TB, o backtest.Options, log []*record.Batch) *backtest.Report {
	t.Helper()
	bt := backtest.New(o)
	for _, b := range log {
		if err := bt.Take(b); err != nil {
			t.Fatal(err)
		}
	}
	r, err := bt.Report()
	if err != nil {
		t.Fatal(err)
	}
	r.Made.Version, r.Made.Log, r.Made.Command = "v1", "a test", "signalbox backtest"
	return r
}

func plain(s string) string { return s }

// written is a report in all its forms.
func written(t testing.TB, r *backtest.Report) (text, json, html string) {
	t.Helper()
	var a, b, c bytes.Buffer
	for _, err := range []error{r.Text(&a, plain), r.JSON(&b), r.HTML(&c)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return a.String(), b.String(), c.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// nameNeighbors gives the events of BGP a neighbor, and the others no data.
func nameNeighbors(log []*record.Batch) {
	for _, b := range log {
		for _, r := range b.Records {
			r.Event.Data = nil
			if strings.HasPrefix(r.Event.Type, "bgp_") {
				r.Event.Data = []byte(`{"neighbor":"192.0.2.99"}`)
			}
		}
	}
}
