package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"signalbox/event"
	"signalbox/internal/ledger"
)

const token = "0123456789abcdef0123456789abcdef"

// backend answers from memory and remembers what it was asked.
type backend struct {
	mu       sync.Mutex
	asked    []string
	problems []string
	err      error // of whatever is asked
	after    int   // so many lines of a list come before err
	entries  int
	query    EventQuery
	runQuery RunQuery
	by       CommandRequest
	replay   ReplayRequest
}

func (b *backend) ask(what string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, what)
	return b.err
}

func (b *backend) calls() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

func (b *backend) Status() Status  { _ = b.ask("status"); return Status{Version: "v1", Ready: true} }
func (b *backend) Ready() []string { return b.problems }

func (b *backend) Ledger(_ context.Context, verify bool) (*Ledger, error) {
	return &Ledger{Log: &ledger.Books{}, Balanced: true, Verified: verify}, b.ask(fmt.Sprint("ledger ", verify))
}

func (b *backend) Events(ctx context.Context, q EventQuery, yield func(*Entry) error) error {
	err := b.ask("events")
	b.query = q
	for i := range b.entries {
		if err != nil && i == b.after {
			return err
		}
		if err := yield(&Entry{Position: fmt.Sprintf("%d/0", i+1), Event: event.Event{ID: event.ID(fmt.Sprint(i))}}); err != nil {
			return err
		}
	}
	if q.Follow && err == nil {
		<-ctx.Done()
	}
	return err
}

func (b *backend) Event(_ context.Context, id event.ID) (*Entry, error) {
	return &Entry{Event: event.Event{ID: id}}, b.ask("event " + string(id))
}

func (b *backend) Resubmit(_ context.Context, id event.ID, by CommandRequest) (event.ID, error) {
	b.by = by
	return "new", b.ask("resubmit " + string(id))
}

func (b *backend) Replay(_ context.Context, r ReplayRequest) (ReplayResult, error) {
	b.replay = r
	return ReplayResult{ID: "r", Events: 3, DryRun: !r.Effects}, b.ask("replay")
}

func (b *backend) Runs(_ context.Context, q RunQuery, yield func(any) error) error {
	err := b.ask("runs")
	b.runQuery = q
	if err != nil {
		return err
	}
	return yield(map[string]string{"run": "r1"})
}

func (b *backend) Run(_ context.Context, id string) (any, error) {
	return map[string]string{"run": id}, b.ask("run " + id)
}

func (b *backend) DeadLetters(_ context.Context, yield func(any) error) error {
	if err := b.ask("deadletters"); err != nil {
		return err
	}
	return yield(map[string]string{"run": "r2"})
}

func (b *backend) Command(_ context.Context, verb, run string, by CommandRequest) error {
	b.by = by
	return b.ask(verb + " " + run)
}

func (b *backend) Rules(context.Context) ([]RuleInfo, error) {
	return []RuleInfo{{Name: "a"}, {Name: "b"}}, b.ask("rules")
}

func (b *backend) CompareRules(_ context.Context, q CompareQuery) (any, error) {
	return []string{q.Rule}, b.ask(fmt.Sprintf("compare %s with %s since %v", q.Rule, q.With, !q.Since.IsZero()))
}

func (b *backend) Explain(_ context.Context, id string) (any, error) {
	return map[string]string{"id": id}, b.ask("explain " + id)
}

func (b *backend) Situations(_ context.Context, q SituationQuery, yield func(any) error) error {
	if err := b.ask(fmt.Sprintf("situations %+v", q)); err != nil {
		return err
	}
	return yield(map[string]string{"id": "s1"})
}

func (b *backend) Situation(_ context.Context, id string) (any, error) {
	return map[string]string{"id": id}, b.ask("situation " + id)
}

func (b *backend) SituationCommand(_ context.Context, verb, id string, by CommandRequest) error {
	b.by = by
	return b.ask(verb + " situation " + id)
}

func (b *backend) Reload(context.Context) (Status, error) { return Status{Rules: 7}, b.ask("reload") }

func newServer(t testing.TB, b Backend) *Server {
	t.Helper()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics here\n") })
	s, err := New(b, token, metrics, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// request asks from an address; header is "Name: value" lines.
func request(s http.Handler, method, target, peer, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://signalbox.example/", strings.NewReader(body))
	// As it would come over the wire, not cleaned by a client.
	u, err := r.URL.Parse(target)
	if err == nil {
		r.URL = u
	}
	r.RequestURI = target
	r.RemoteAddr = peer
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

const (
	here  = "127.0.0.1:4000"
	here6 = "[::1]:4000"
	there = "192.0.2.9:4000"
)

const bearer = "Authorization: Bearer " + token

var errBackend = errors.New("the log is away")
