package ruletest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"signalbox/event"
	"signalbox/internal/normalize"
	"signalbox/internal/rule"
)

var (
	eventKeys = []string{"at", "repeat", "type", "device", "interface", "data", "source", "time", "id", "peer", "cause",
		"syslog", "trap", "webhook", "acknowledge", "resolve", "key", "by"}
	// notes are what a rule can do other than start a run (record.RuleNote).
	notes = []string{"duplicate", "shadow", "loop", "error", "joined", "held", "released", "absorbed",
		"dampened", "upstream", "grouped", "late", "limited", "full"}
	// heldBack are the notes that suppressed stands for.
	heldBack = []string{"duplicate", "loop", "dampened", "upstream", "late", "limited", "full", "absorbed"}
	verdicts = []string{"decided", "duplicate", "suppressed", "unmatched", "rejected"}
)

// eventNodes are the keys of one event.
type eventNodes map[string]*yaml.Node

func (r *reader) event(n *yaml.Node, t *Test) {
	if !r.mapping("event", n) {
		return
	}
	e := Event{Pos: r.at(n), Times: 1}
	nodes := eventNodes{}
	r.each(n, eventKeys, func(key string, _, v *yaml.Node) { nodes[key] = v })
	if v := nodes["at"]; v != nil {
		e.At = r.span("at", v)
	}
	if v := nodes["repeat"]; v != nil {
		r.repeat(v, &e)
	}
	var kinds []string
	for _, k := range []string{"type", "syslog", "trap", "webhook", "acknowledge", "resolve"} {
		if nodes[k] != nil {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) != 1 {
		what := "it says what it is more than once: " + strings.Join(kinds, ", ")
		if len(kinds) == 0 {
			what = "it does not say what it is"
		}
		r.errorf(n, "one of type, syslog, trap, webhook, acknowledge, resolve", "event: %s", what)
		return
	}
	switch kinds[0] {
	case "type":
		r.typed(nodes, &e)
	case "acknowledge", "resolve":
		r.command(kinds[0], nodes, &e)
	default:
		r.message(kinds[0], nodes, &e)
	}
	t.Events = append(t.Events, e)
	total := 0
	for i := range t.Events {
		total += t.Events[i].Times
	}
	if total > maxEvents {
		r.errorf(n, "", "event: %d events in one test are more than %d", total, maxEvents)
		t.Events = t.Events[:len(t.Events)-1]
	}
}

func (r *reader) repeat(n *yaml.Node, e *Event) {
	if !r.mapping("repeat", n) {
		return
	}
	r.each(n, []string{"times", "every"}, func(key string, _, v *yaml.Node) {
		switch key {
		case "times":
			e.Times = r.integer("repeat.times", v, 1, maxEvents)
		case "every":
			e.Every = r.span("repeat.every", v)
		}
	})
}

// only reports keys that do not go with the kind of event.
func (r *reader) only(kind string, nodes eventNodes, known ...string) {
	for _, key := range eventKeys {
		if v := nodes[key]; v != nil && key != kind && key != "at" && key != "repeat" && !contains(known, key) {
			r.errorf(v, "", "%s: does not go with %s", key, kind)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (r *reader) textOf(nodes eventNodes, key string) string {
	if v := nodes[key]; v != nil {
		return r.text(key, v)
	}
	return ""
}

func (r *reader) typed(nodes eventNodes, e *Event) {
	r.only("type", nodes, "device", "interface", "data", "source", "time", "id", "peer", "cause")
	ev := &event.Event{Type: r.textOf(nodes, "type"), Device: r.textOf(nodes, "device"), Interface: r.textOf(nodes, "interface"),
		Source: r.textOf(nodes, "source"), SenderID: r.textOf(nodes, "id"), Peer: r.textOf(nodes, "peer")}
	if ev.Source == "" {
		ev.Source = "test"
	}
	if v := nodes["time"]; v != nil {
		r.eventTime(v, e, ev)
	}
	if v := nodes["cause"]; v != nil {
		ev.Cause = &event.Cause{}
		for _, n := range r.names("cause", v) {
			ev.Cause.Rules, ev.Cause.Rule = append(ev.Cause.Rules, n.Text), n.Text
		}
	}
	if v := nodes["data"]; v != nil {
		b, err := json.Marshal(r.object("data", v))
		if err != nil {
			r.errorf(v, "", "data: %v", err)
		}
		ev.Data = b
	}
	e.Typed = ev
}

// eventTime reads the device's time: RFC 3339, or an offset from the start of
// the test, which may be before it ("-5s").
func (r *reader) eventTime(n *yaml.Node, e *Event, ev *event.Event) {
	s := r.text("time", n)
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		ev.Time = t
		return
	}
	text, negative := strings.CutPrefix(s, "-")
	d, err := rule.ParseDuration(text)
	if err != nil && text != "0" {
		r.errorf(n, "as in 2026-01-01T00:00:00Z, or since the start as in 10s or -10s", "time: expected a time, found %q", s)
		return
	}
	if negative {
		d = -d
	}
	e.Clock = &d
}

func (r *reader) command(verb string, nodes eventNodes, e *Event) {
	r.only(verb, nodes, "key", "by")
	c := &Command{Verb: verb, Rule: r.textOf(nodes, verb), Key: r.textOf(nodes, "key"), By: r.textOf(nodes, "by")}
	if c.By == "" {
		c.By = "test"
	}
	e.Command = c
}

func (r *reader) message(kind string, nodes eventNodes, e *Event) {
	in := &normalize.Input{Source: r.textOf(nodes, "source"), Peer: r.textOf(nodes, "peer"), SenderID: r.textOf(nodes, "id")}
	r.only(kind, nodes, "source", "peer", "id")
	if in.Peer == "" {
		in.Peer = "192.0.2.1:514"
	}
	switch kind {
	case "syslog":
		in.Form, in.Raw = normalize.Syslog, []byte(r.textOf(nodes, kind))
		if nodes[kind].ShortTag() == "!!binary" { // what is no text
			b, err := base64.StdEncoding.DecodeString(string(in.Raw))
			if err != nil {
				r.errorf(nodes[kind], "", "syslog: %v", err)
			}
			in.Raw = b
		}
	case "trap":
		in.Form = normalize.SNMP
		if v := nodes[kind]; v.Kind == yaml.MappingNode {
			b, err := json.Marshal(r.object(kind, v))
			if err != nil {
				r.errorf(v, "", "trap: %v", err)
			}
			in.Raw = b
		} else {
			in.Raw = []byte(r.text(kind, v))
		}
	case "webhook":
		in.Form = normalize.Payload
		r.webhook(nodes[kind], in)
	}
	if in.Source == "" {
		in.Source = "test"
	}
	e.Message = in
}

func (r *reader) webhook(n *yaml.Node, in *normalize.Input) {
	if !r.mapping("webhook", n) {
		return
	}
	r.each(n, []string{"source", "mapping", "headers", "body"}, func(key string, _, v *yaml.Node) {
		switch key {
		case "source":
			in.Source = r.text(key, v)
		case "mapping":
			in.Mapping = r.text(key, v)
		case "headers":
			in.Meta = map[string]string{}
			for name, value := range r.object(key, v) {
				in.Meta[name] = fmt.Sprint(value)
			}
		case "body":
			if v.Kind == yaml.ScalarNode {
				in.Raw = []byte(v.Value)
				return
			}
			b, err := json.Marshal(r.value(v))
			if err != nil {
				r.errorf(v, "", "body: %v", err)
			}
			in.Raw = b
		}
	})
	if in.Raw == nil {
		r.errorf(n, "a mapping, or the JSON as text", "webhook: there is no body")
	}
}
