package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// shape says where the events of a source of ansible-rulebook are here: their
// types, and which of their fields is which of ours.
type shape struct {
	name    string   // of the source here, for conditions; "" for events of ours
	on      []string // event types
	roots   []root   // the longest first
	other   string   // where fields are that no root has; "" for nowhere
	dashes  bool     // its names had dashes turned into underscores
	headers map[string]bool
	suggest []string // lines for signalbox.yaml
	notes   []string // what to know
	guess   func(path string, at int)
}

// root maps a beginning of a path to a field of ours; "" has no equivalent.
type root struct {
	path string // "payload", "meta.headers"
	base string // "data.body"
	exact,
	header bool
}

// resolve finds the field of an event that is called event.
func (s *shape) resolve(event string, path []string, at int) (base string, rest []string, err error) {
	joined := strings.Join(path, ".")
	for _, r := range s.roots {
		rest, ok := strings.CutPrefix(joined+".", r.path+".")
		if !ok || r.exact && rest != "" {
			continue
		}
		if r.base == "" {
			return "", nil, &untranslated{at, "event." + joined + ": there is no such field here", "see the fields of " + strings.Join(s.on, ", ") + " with 'signalbox types'"}
		}
		n := len(strings.Split(r.path, "."))
		left := slices.Clone(path[n:])
		if r.header && len(left) > 0 {
			left[0] = s.header(left[0])
		}
		if r.base == "." {
			return event, left, nil
		}
		return event + "." + r.base, left, nil
	}
	switch {
	case len(path) == 0:
		return event + ".data", nil, nil
	case s.other == "":
		return "", nil, &untranslated{at, "event." + joined + ": no source of this ruleset gives such a field", ""}
	}
	if s.guess != nil {
		s.guess(joined, at)
	}
	return event + "." + s.other, slices.Clone(path), nil
}

// header is the canonical name of a header, and notes that it is read.
func (s *shape) header(name string) string {
	if s.dashes {
		name = strings.ReplaceAll(name, "_", "-")
	}
	parts := strings.Split(strings.ToLower(name), "-")
	for i, p := range parts {
		if p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	name = strings.Join(parts, "-")
	if s.headers == nil {
		s.headers = map[string]bool{}
	}
	s.headers[name] = true
	return name
}

// guards says that conditions must ask for the source: the type of its events is
// not its own.
func (s *shape) guards() bool { return s.name != "" && slices.Contains(s.on, "webhook") }

// knows says whether a path begins with a field that the source is known for.
func (s *shape) knows(path []string) bool {
	joined := strings.Join(path, ".") + "."
	return slices.ContainsFunc(s.roots, func(r root) bool { return strings.HasPrefix(joined, r.path+".") })
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slug makes a name of a text: "Pull Request Open" is pull-request-open.
func slug(s, dash string) string {
	s = strings.Trim(notSlug.ReplaceAllString(strings.ToLower(s), "-"), "-")
	if len(s) > 60 {
		s = strings.Trim(s[:60], "-")
	}
	return strings.ReplaceAll(s, "-", dash)
}

// messageRoots are the fields of messages that come as a whole.
var webhookRoots = []root{{path: "meta.headers", base: "data.headers", header: true}, {path: "meta.source.name", base: "source"},
	{path: "meta.received_at", base: "received"}, {path: "meta.uuid", base: "id"}, {path: "meta", base: ".", exact: true}, {path: "meta"}, {path: "payload", base: "data.body"}}

func bodyRoots(field string) []root {
	return []root{{path: "meta.headers", base: "data.headers", header: true}, {path: "meta.received_at", base: "received"},
		{path: "meta", base: ".", exact: true}, {path: "meta"}, {path: field, base: "data.body"}}
}

// kinds are the source plugins that have something to correspond to, by the
// last part of their name.
var kinds = map[string]func(s *shape, args map[string]*yaml.Node){
	"webhook": func(s *shape, args map[string]*yaml.Node) {
		s.on, s.roots, s.other = []string{"webhook"}, webhookRoots, "data.body"
		auth := "{bearer: \"${env." + envName(s.name) + "_TOKEN}\"}"
		if args["hmac_secret"] != nil {
			auth = "{hmac: {algorithm: " + value(args["hmac_algo"], "sha256") + ", header: " + value(args["hmac_header"], "X-Hub-Signature-256") + ", secret: \"${env." + envName(s.name) + "_SECRET}\"}}"
		} else if args["token"] == nil {
			auth = "{none: true}                  # the rulebook asks for nothing: from this machine only"
		}
		s.suggest = append(s.suggest, "kind: webhook", "auth: "+auth)
		s.notes = append(s.notes, fmt.Sprintf("messages are posted to http://HOST:PORT/webhook/%s (%s:%s in the rulebook)", s.name, or(scalarOf(args["host"]), "0.0.0.0"), or(scalarOf(args["port"]), "5000")))
	},
	"alertmanager": func(s *shape, _ map[string]*yaml.Node) {
		s.on = []string{"alert", "alert_resolved"}
		s.roots = []root{{path: "alert.labels", base: "data.labels"}, {path: "alert.status", base: "data.status"}, {path: "alert.fingerprint", base: "data.alert_id"},
			{path: "alert.annotations.summary", base: "data.summary"}, {path: "alert.annotations.description", base: "data.description"},
			{path: "alert.generatorURL", base: "data.url"}, {path: "alert.startsAt", base: "time"}, {path: "alert", base: "data", exact: true}, {path: "alert"},
			{path: "meta", base: ".", exact: true}, {path: "meta"}}
		s.suggest = append(s.suggest, "kind: webhook", "mapping: alertmanager", "auth: {bearer: \"${env."+envName(s.name)+"_TOKEN}\"}")
		s.notes = append(s.notes, "a label event_type, device or interface of an alert becomes the event's own")
	},
	"rabbitmq": func(s *shape, args map[string]*yaml.Node) {
		s.on, s.roots, s.other = []string{"webhook"}, bodyRoots("body"), "data.body"
		s.suggest = append(s.suggest, "kind: rabbitmq", "url: \"${env."+envName(s.name)+"_URL}\"", "queue: "+value(args["queue"], "events"))
	},
	"snmp_trap": func(s *shape, _ map[string]*yaml.Node) {
		s.on = []string{"snmp_trap"}
		s.roots = []root{{path: "snmp_trap.agentAddress", base: "device"}, {path: "snmp_trap.enterprise", base: "data.enterprise"}, {path: "snmp_trap.trapOID", base: "data.oid"},
			{path: "snmp_trap", base: "data", exact: true}, {path: "snmp_trap"}}
		s.suggest = append(s.suggest, "kind: snmp", "listen: 0.0.0.0:162")
		s.notes = append(s.notes, "many traps have a type of their own here (interface_down, …): see 'signalbox types', and write on: to match")
	},
	"journald": func(s *shape, _ map[string]*yaml.Node) {
		s.on = []string{"syslog_message"}
		s.roots = []root{{path: "journald.message", base: "data.message"}, {path: "journald.syslog_identifier", base: "data.app_name"}, {path: "journald", base: "data", exact: true}, {path: "journald"}}
		s.suggest = append(s.suggest, "kind: syslog", "udp: 127.0.0.1:5514")
		s.notes = append(s.notes, "let rsyslog or systemd-journal-remote send the journal here as syslog")
	},
}

func init() {
	// Brokers that this release does not read: their messages can be posted, or
	// bridged to RabbitMQ, and are read from the same place.
	for kind, field := range map[string]string{"kafka": "body", "aws_sqs_queue": "body", "azure_service_bus": "body", "mqtt": "body", "nats": "body",
		"pg_listener": "", "gcp_pubsub": "message", "aws_cloudtrail": "", "dynatrace": "", "insights": "payload"} {
		kinds[kind] = func(s *shape, _ map[string]*yaml.Node) {
			s.on, s.other = []string{"webhook"}, "data.body"
			s.roots = bodyRoots(field)
			if field == "" {
				s.roots = bodyRoots("body")[:4]
			}
			s.suggest = append(s.suggest, "kind: webhook", "auth: {bearer: \"${env."+envName(s.name)+"_TOKEN}\"}")
			s.notes = append(s.notes, "there is no source "+kind+" in this release: post its messages to /webhook/"+s.name+", or bridge them to RabbitMQ")
		}
	}
	// Sources that make events of their own: somebody must send them.
	for _, kind := range []string{"range", "tick", "url_check", "file", "file_watch", "watchdog", "generic", "webhook_poll"} {
		kinds[kind] = func(s *shape, _ map[string]*yaml.Node) {
			s.on, s.other = []string{kind}, "data"
			if kind == "url_check" {
				s.roots = []root{{path: "url_check", base: "data"}}
			}
			s.suggest = append(s.suggest, "kind: webhook", "auth: {none: true}")
			s.notes = append(s.notes, fmt.Sprintf("there is no source %s: send its events to a webhook, with event_type %s", kind, kind))
		}
	}
}

func envName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }

// value is the text of an argument, or other where it is none or a template.
func value(n *yaml.Node, other string) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.Value == "" || strings.Contains(n.Value, "{{") {
		return other
	}
	return yamlText(n.Value)
}

// postedShape is the shape of events that a rulebook's own rules post.
func postedShape(typ string) *shape {
	return &shape{on: []string{typ}, other: "data", roots: []root{{path: "meta", base: ".", exact: true}}}
}
