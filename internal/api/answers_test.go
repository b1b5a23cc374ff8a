package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestReadiness(t *testing.T) {
	s := newServer(t, &backend{})
	if w := request(s, "GET", "/readyz", here, ""); w.Code != 200 || w.Body.String() != "ready\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	s = newServer(t, &backend{problems: []string{"the log is full", "starting"}})
	if w := request(s, "GET", "/readyz", here, ""); w.Code != 503 || w.Body.String() != "the log is full\nstarting\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	// Alive, though not ready: who asks must not restart it for that.
	if w := request(s, "GET", "/healthz", here, ""); w.Code != 200 {
		t.Errorf("healthz: %d", w.Code)
	}
}

// Lists are one object a line.
func TestLists(t *testing.T) {
	s := newServer(t, &backend{entries: 3})
	for path, want := range map[string]int{"/api/v1/events": 3, "/api/v1/runs": 1, "/api/v1/deadletters": 1, "/api/v1/situations": 1, "/api/v1/rules": 2} {
		w := request(s, "GET", path, there, "", bearer)
		if ct := w.Header().Get("Content-Type"); ct != "application/x-ndjson" {
			t.Errorf("%s is %s", path, ct)
		}
		n := 0
		for line := range strings.Lines(w.Body.String()) {
			var v map[string]any
			if err := json.Unmarshal([]byte(line), &v); err != nil || v["error"] != nil {
				t.Errorf("%s: %q: %v", path, line, err)
			}
			n++
		}
		if n != want {
			t.Errorf("%s has %d lines, want %d", path, n, want)
		}
	}
}

func TestListErrors(t *testing.T) {
	// Before the first line the status tells it.
	s := newServer(t, &backend{entries: 3, err: errBackend})
	w := request(s, "GET", "/api/v1/events", there, "", bearer)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), errBackend.Error()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("as %s", ct)
	}
	// After it only the list can: its last line.
	s = newServer(t, &backend{entries: 3, err: errBackend, after: 2})
	w = request(s, "GET", "/api/v1/events", there, "", bearer)
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if w.Code != 200 || len(lines) != 3 || lines[2] != `{"error":"the log is away"}` {
		t.Errorf("%d %q", w.Code, lines)
	}
}

// A list that is not all says so behind it: nobody takes its end for that of the log.
func TestPartialLists(t *testing.T) {
	s := newServer(t, &backend{entries: 3, err: fmt.Errorf("%w: older ones were not searched", ErrPartial), after: 2})
	srv := httptest.NewServer(s)
	defer srv.Close()
	for path, lines := range map[string]int{"/api/v1/events": 2, "/api/v1/runs": 0} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(bearer, ": ")
		r.Header.Set(name, value)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || strings.Count(string(body), "\n") != lines || strings.Contains(string(body), "error") {
			t.Errorf("%s: %d %q %v", path, resp.StatusCode, body, err)
		}
		if why := resp.Trailer.Get(Partial); why != "older ones were not searched" {
			t.Errorf("%s: the trailer is %q", path, why)
		}
	}
}

func TestQueries(t *testing.T) {
	b := &backend{}
	s := newServer(t, b)
	at := time.Date(2026, 11, 24, 10, 0, 0, 123, time.UTC)
	w := request(s, "GET", "/api/v1/events?type=bgp_*&device=r1&source=w&status=decided&grep=a%26b&limit=7&since="+at.Format(time.RFC3339Nano), there, "", bearer)
	want := EventQuery{Type: "bgp_*", Device: "r1", Source: "w", Status: "decided", Grep: "a&b", Limit: 7, Since: at}
	if w.Code != 200 || b.query != want {
		t.Errorf("%d, %+v", w.Code, b.query)
	}
	request(s, "GET", "/api/v1/runs?rule=a&device=b&state=failed&replay=true&limit=3", there, "", bearer)
	if want := (RunQuery{Rule: "a", Device: "b", State: "failed", Replay: true, Limit: 3}); b.runQuery != want {
		t.Errorf("%+v", b.runQuery)
	}
	for query, says := range map[string]string{
		"limit=x": "limit", "limit=-1": "limit", "limit=1000001": "limit", "limit=9223372036854775807": "limit", "limit=99999999999999999999": "limit",
		"since=yesterday": "since", "until=1": "until",
	} {
		w := request(s, "GET", "/api/v1/events?"+query, there, "", bearer)
		if w.Code != 400 || !strings.Contains(w.Body.String(), says+": ") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	if w := request(s, "GET", "/api/v1/runs?limit=x", there, "", bearer); w.Code != 400 {
		t.Errorf("runs: %d", w.Code)
	}
}

func TestErrorClasses(t *testing.T) {
	for _, tt := range []struct {
		err    error
		want   int
		detail string
	}{
		{fmt.Errorf("run x: %w", ErrNotFound), 404, "run x: not found"},
		{fmt.Errorf("%w: not like this", ErrInvalid), 400, "not like this"},
		{errBackend, 503, errBackend.Error()},
	} {
		s := newServer(t, &backend{err: tt.err})
		for _, c := range []struct{ method, path string }{
			{"GET", "/api/v1/ledger"}, {"GET", "/api/v1/events/x"}, {"POST", "/api/v1/events/x/resubmit"}, {"POST", "/api/v1/replay"},
			{"GET", "/api/v1/runs"}, {"GET", "/api/v1/runs/x"}, {"GET", "/api/v1/deadletters"}, {"GET", "/api/v1/deadletters/x"},
			{"POST", "/api/v1/deadletters/x/requeue"}, {"POST", "/api/v1/deadletters/x/discard"},
		} {
			w := request(s, c.method, c.path, there, "{}", bearer)
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != tt.want || p.Status != tt.want || p.Detail != tt.detail {
				t.Errorf("%s %s with %v: %d %s", c.method, c.path, tt.err, w.Code, w.Body)
			}
		}
	}
	// A reload that fails is the file's fault, and says that nothing changed.
	s := newServer(t, &backend{err: errBackend})
	w := request(s, "POST", "/api/v1/reload", there, "{}", bearer)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "the running rules are kept") {
		t.Errorf("reload: %d %s", w.Code, w.Body)
	}
}

func TestCommands(t *testing.T) {
	b := &backend{}
	s := newServer(t, b)
	for _, c := range []struct{ path, body, want, answer string }{
		{"/api/v1/deadletters/r1-0-x/requeue", `{"by":"alice","note":"n"}`, "requeue r1-0-x", `{"command":"requeue","run":"r1-0-x"}`},
		{"/api/v1/deadletters/r1-0-x/discard", `{}`, "discard r1-0-x", `{"command":"discard","run":"r1-0-x"}`},
		{"/api/v1/events/e1/resubmit", `{"by":"alice"}`, "resubmit e1", `{"event":"new"}`},
		{"/api/v1/replay", `{"since":"2026-11-24T00:00:00Z","effects":true}`, "replay", `{"id":"r","events":3,"dry_run":false}`},
		{"/api/v1/reload", ``, "reload", ``},
	} {
		w := request(s, "POST", c.path, there, c.body, bearer)
		asked := b.calls()
		if w.Code != 200 || len(asked) == 0 || asked[len(asked)-1] != c.want {
			t.Errorf("%s: %d %s, asked %v", c.path, w.Code, w.Body, asked)
		}
		if c.answer != "" && strings.TrimSpace(w.Body.String()) != c.answer {
			t.Errorf("%s: %s", c.path, w.Body)
		}
	}
	if !b.replay.Effects || b.replay.Since.IsZero() {
		t.Errorf("replay: %+v", b.replay)
	}
	before := len(b.calls())
	for name, body := range map[string]string{
		"no JSON": "by=alice", "none": "", "an unknown key": `{"bye":"alice"}`, "a list": `[]`,
		"too much": `{"note":"` + strings.Repeat("x", 2<<20) + `"}`,
	} {
		w := request(s, "POST", "/api/v1/deadletters/r1-0-x/discard", there, body, bearer)
		if w.Code != 400 {
			t.Errorf("%s as a body: %d %s", name, w.Code, w.Body)
		}
	}
	if len(b.calls()) != before {
		t.Errorf("a body that was refused was obeyed: %v", b.calls()[before:])
	}
}

func TestLedgerVerify(t *testing.T) {
	b := &backend{}
	s := newServer(t, b)
	request(s, "GET", "/api/v1/ledger", there, "", bearer)
	request(s, "GET", "/api/v1/ledger?verify=true", there, "", bearer)
	if got := strings.Join(b.calls(), ", "); got != "ledger false, ledger true" {
		t.Errorf("asked %s", got)
	}
}

// What is followed comes line by line, while the request is open.
func TestFollow(t *testing.T) {
	srv := httptest.NewServer(newServer(t, &backend{entries: 2}))
	defer srv.Close()
	req, _ := http.NewRequest("GET", srv.URL+"/api/v1/events?follow=true", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for i := range 2 {
		line, err := r.ReadString('\n')
		if err != nil || !strings.Contains(line, fmt.Sprintf(`"position":"%d/0"`, i+1)) {
			t.Errorf("%q, %v", line, err)
		}
	}
}

func TestPprofHasProfiles(t *testing.T) {
	s := newServer(t, &backend{})
	if w := request(s, "GET", "/debug/pprof/goroutine?debug=1", there, "", bearer); w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine profile") {
		t.Errorf("%d %.80s", w.Code, w.Body)
	}
	if w := request(s, "GET", "/debug/pprof/nothing", there, "", bearer); w.Code != 404 {
		t.Errorf("a profile that is none: %d", w.Code)
	}
}

func TestSituations(t *testing.T) {
	b := &backend{}
	s := newServer(t, b)
	request(s, "GET", "/api/v1/situations?state=open&rule=a&limit=3", there, "", bearer)
	request(s, "GET", "/api/v1/situations/s1", there, "", bearer)
	request(s, "POST", "/api/v1/situations/s1/acknowledge", there, `{"by":"ann","note":"on it"}`, bearer)
	if b.by != (CommandRequest{By: "ann", Note: "on it"}) {
		t.Errorf("by %+v", b.by)
	}
	request(s, "POST", "/api/v1/situations/s1/resolve", there, `{}`, bearer)
	if w := request(s, "POST", "/api/v1/situations/s1/resolve", there, `{"who":"x"}`, bearer); w.Code != 400 {
		t.Errorf("%d", w.Code)
	}
	if w := request(s, "GET", "/api/v1/situations?limit=x", there, "", bearer); w.Code != 400 {
		t.Errorf("%d", w.Code)
	}
	request(s, "GET", "/api/v1/explain/r1-0-0123456789ab", there, "", bearer)
	request(s, "GET", "/api/v1/rules/compare?rule=a&with=b&since=2026-11-24T10:00:00Z", there, "", bearer)
	if w := request(s, "GET", "/api/v1/rules/compare?since=yesterday", there, "", bearer); w.Code != 400 {
		t.Errorf("%d", w.Code)
	}
	want := "situations {State:open Rule:a Limit:3 Follow:false}|situation s1|acknowledge situation s1|resolve situation s1|explain r1-0-0123456789ab|compare a with b since true"
	if got := strings.Join(b.calls(), "|"); got != want {
		t.Errorf("asked %s", got)
	}
}
