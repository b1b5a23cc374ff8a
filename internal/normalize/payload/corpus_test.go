package payload

import (
	"bufio"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type corpusCase struct {
	ID, Kind, Body string
	Headers        map[string]string
	KafkaHeaders   map[string]string `json:"kafka_headers"`
	Expected       struct {
		Accept     *bool
		Attributes map[string]string
		Data       json.RawMessage
	}
}

// readCorpus reads the public cases that SIGNALBOX_CORPUS names; they are not
// part of the repository.
func readCorpus(t *testing.T, name string) []corpusCase {
	t.Helper()
	dir := os.Getenv("SIGNALBOX_CORPUS")
	if dir == "" {
		t.Skip("left out: SIGNALBOX_CORPUS does not name a folder of public messages")
	}
	f, err := os.Open(filepath.Join(dir, "webhook", name))
	must(t, err)
	defer f.Close()
	var out []corpusCase
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var c corpusCase
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			// Some expectations have another shape; the message is what counts.
			var loose struct {
				ID, Kind, Body string
				Headers        map[string]string
			}
			must(t, json.Unmarshal(sc.Bytes(), &loose))
			c = corpusCase{ID: loose.ID, Kind: loose.Kind, Body: loose.Body, Headers: loose.Headers}
		}
		out = append(out, c)
	}
	must(t, sc.Err())
	return out
}

func (c corpusCase) message() Message {
	m := Message{Body: []byte(c.Body)}
	binary := map[string]string{}
	headers := c.Headers
	if c.KafkaHeaders != nil {
		headers = c.KafkaHeaders
	}
	for k, v := range headers {
		k = strings.ToLower(k)
		if k == "content-type" {
			m.ContentType = v
		}
		if a, ok := strings.CutPrefix(k, "ce-"); ok {
			binary[a] = v
		}
	}
	if len(binary) > 0 {
		m.Attributes = func(yield func(string, string) bool) {
			for k, v := range binary {
				if !yield(k, v) {
					return
				}
			}
		}
	}
	return m
}

func TestCorpusCloudEvents(t *testing.T) {
	for _, c := range readCorpus(t, "cloudevents.jsonl") {
		t.Run(c.ID, func(t *testing.T) {
			items, err := Split(c.message(), Limits{})
			want := c.Expected.Accept == nil || *c.Expected.Accept
			if (err == nil) != want {
				t.Fatalf("error %v, want accepted %v:\n%s", err, want, c.Body)
			}
			if err != nil || c.Expected.Attributes == nil {
				return
			}
			got := map[string]any{}
			must(t, json.Unmarshal(items[0].Raw, &got))
			want2 := map[string]any{}
			for k, v := range c.Expected.Attributes {
				want2[k] = v
			}
			var data any
			must(t, json.Unmarshal(c.Expected.Data, &data))
			want2["data"] = data
			if d := cmp.Diff(want2, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCorpusWebhooks(t *testing.T) {
	for _, c := range readCorpus(t, "webhooks.jsonl") {
		m := c.message()
		if m.ContentType == "application/x-www-form-urlencoded" {
			// The record holds the form's field, decoded.
			m.Form, m.Body = true, []byte("payload="+url.QueryEscape(c.Body))
		}
		items, err := Split(m, Limits{})
		if err != nil || len(items) == 0 {
			t.Errorf("%s: %d events, error %v", c.ID, len(items), err)
		}
	}
}
