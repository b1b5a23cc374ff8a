package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signalbox/internal/daemon"
	"signalbox/internal/normalize"
	"signalbox/internal/normalize/payload"
)

// mapped is one line of what `signalbox map` writes.
type mapped struct {
	Type      *string         `json:"type"` // null when nothing maps
	Device    string          `json:"device,omitempty"`
	Interface string          `json:"interface,omitempty"`
	Time      *time.Time      `json:"time,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Mapping   string          `json:"mapping,omitempty"`
	Rejected  string          `json:"rejected,omitempty"`
	WhyNot    string          `json:"why_not,omitempty"`
	Key       string          `json:"key,omitempty"` // what was looked up: tag, notification
}

func (a *app) mapCmd() *cobra.Command {
	var src, path, peer string
	cmd := &cobra.Command{
		Use:   "map --source syslog|snmp|webhook:NAME [FILE]",
		Short: "Show what raw messages would become, without a server: how to write a mapping",
		Long: `Reads raw messages, one a line, from FILE or standard input, and writes what each
would become, one JSON object a line: type (null when nothing maps), device, data,
mapping, and why not. A webhook body that carries several events (a list, or what its
mapping splits) gives a line for each. For snmp a line is the hex of a message, a printed
notification as snmptrapd writes it with tabs between the variables, or JSON.
A message with line breaks in it can be given as a JSON string.`,
		Example: `  echo '<189>45: sw1: %LINK-3-UPDOWN: Interface Gi0/1, changed state to down' | signalbox map --source syslog
  signalbox map --source webhook:netbox bodies.jsonl
  signalbox events --source campus --status unmatched --json | jq -r '.event.rawbase64|@base64d' | signalbox map --source syslog`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			form, mapping, err := mapForm(src)
			if err != nil {
				return &usageError{err}
			}
			l, _, err := a.load(path)
			if err != nil {
				return a.mistakes(err)
			}
			in := a.in
			if len(args) == 1 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			return a.mapLines(in, l, normalize.Input{Source: "map", Form: form, Mapping: mapping, Peer: peer})
		},
	}
	cmd.Flags().StringVar(&src, "source", "", "syslog, snmp, or webhook:NAME where NAME is a mapping (webhook: for the default form)")
	cmd.Flags().StringVar(&path, "config", "", "configuration with mappings of your own (default signalbox.yaml here, if there is one)")
	cmd.Flags().StringVar(&peer, "peer", "192.0.2.1:514", "address that the messages come from")
	return cmd
}

func mapForm(src string) (normalize.Form, string, error) {
	kind, name, _ := strings.Cut(src, ":")
	switch kind {
	case "syslog":
		return normalize.Syslog, "", nil
	case "snmp":
		return normalize.SNMP, "", nil
	case "webhook":
		return normalize.Payload, name, nil
	}
	return "", "", fmt.Errorf("--source: %q is none of syslog, snmp, webhook:NAME", src)
}

func (a *app) mapLines(in io.Reader, l *daemon.Loaded, tmpl normalize.Input) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 0, 64<<10), 16<<20)
	w := bufio.NewWriter(a.out)
	defer w.Flush()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	for sc.Scan() {
		line := strings.TrimRight(sc.Text(), "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		for _, m := range mapLine(l, tmpl, line) {
			buf.Reset()
			if err := enc.Encode(m); err != nil {
				return err
			}
			if _, err := w.Write(cleanJSON(buf.Bytes())); err != nil {
				return err
			}
		}
	}
	return sc.Err()
}

// mapLine is what a line becomes: one event, or for a payload as many as a
// source would make of it.
func mapLine(l *daemon.Loaded, in normalize.Input, line string) []mapped {
	in.Received = time.Now()
	if line[0] == '"' {
		var text string
		if json.Unmarshal([]byte(line), &text) == nil {
			line = text
		}
	}
	in.Raw = []byte(line)
	if in.Form == normalize.SNMP {
		t, err := l.Names.ParseText(line)
		if err != nil {
			return []mapped{{WhyNot: err.Error()}}
		}
		in.Parsed = t
	}
	if in.Form != normalize.Payload {
		return []mapped{mapOne(l, in)}
	}
	items, err := payload.Split(payload.Message{Body: in.Raw}, payload.Limits{EventBytes: len(in.Raw)})
	if err == nil {
		items, err = payload.Parts(items, payload.Limits{EventBytes: len(in.Raw)}, func(raw []byte) ([][]byte, error) {
			return l.Normalizer.SplitPayload(in.Mapping, raw)
		})
	}
	if err != nil {
		return []mapped{mapOne(l, in)} // which says in the log's words what is wrong
	}
	out := make([]mapped, len(items))
	for i, it := range items {
		in.Raw, in.SenderID, in.TraceParent = it.Raw, it.SenderID, it.TraceParent
		out[i] = mapOne(l, in)
	}
	return out
}

func mapOne(l *daemon.Loaded, in normalize.Input) mapped {
	ex := l.Normalizer.Explain(in)
	ev := &ex.Result.Event
	m := mapped{Device: ev.Device, Interface: ev.Interface, Data: ev.Data, Mapping: ev.Mapping,
		Rejected: ex.Result.Reject, Key: ex.Key}
	if !ev.Time.IsZero() {
		m.Time = &ev.Time
	}
	if ex.Result.Mapped {
		m.Type = &ev.Type
	} else {
		m.WhyNot = ex.Result.Why
	}
	return m
}
