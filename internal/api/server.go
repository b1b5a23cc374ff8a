// Package api serves HTTP: webhooks by their sources, the API that the command
// line and others use, health and metrics. The API denies without the token;
// health and metrics are open to the same machine only.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"signalbox/event"
)

// The files in the data folder by which the command line finds the server.
const (
	TokenFile   = "api.token"
	AddressFile = "api.address"
	// CertFile is the server's certificate, where it speaks TLS: the command
	// line on this machine trusts it and no other.
	CertFile = "api.pem"
)

var (
	// ErrPartial, behind a list, says why it is not all that was asked for.
	ErrPartial = errors.New("partial")
	// ErrNotFound is for what is not in the log (any more).
	ErrNotFound = errors.New("not found")
	// ErrInvalid is for a request that cannot be carried out as it is.
	ErrInvalid = errors.New("invalid request")
)

// EventQuery chooses events; zero fields choose all.
type EventQuery struct {
	Type, Device, Source, Status, Grep string
	Since, Until                       time.Time
	Limit                              int // the newest so many; 0 for all
	Follow                             bool
}

// RunQuery chooses runs; zero fields choose all.
type RunQuery struct {
	Rule, Device, State string
	Replay              bool
	Limit               int // the newest so many; 0: 100
	Follow              bool
}

// CompareQuery chooses the shadow rules that are compared with active ones.
type CompareQuery struct {
	Since, Until time.Time // zero Since: the last 24 hours
	Rule         string    // only this shadow rule
	With         string    // and with this active one, whatever its name
}

// SituationQuery chooses situations; zero fields choose all.
type SituationQuery struct {
	State, Rule string
	Limit       int
	Follow      bool
}

// Backend is what the API speaks for. Lists are given one by one to yield, whose
// error ends them.
type Backend interface {
	Status() Status
	Ready() []string // what is wrong; empty means ready
	Ledger(ctx context.Context, verify bool) (*Ledger, error)
	Events(ctx context.Context, q EventQuery, yield func(*Entry) error) error
	Event(ctx context.Context, id event.ID) (*Entry, error)
	Resubmit(ctx context.Context, id event.ID, by CommandRequest) (event.ID, error)
	Replay(ctx context.Context, r ReplayRequest) (ReplayResult, error)
	Runs(ctx context.Context, q RunQuery, yield func(any) error) error
	Run(ctx context.Context, id string) (any, error)
	DeadLetters(ctx context.Context, yield func(any) error) error
	Command(ctx context.Context, verb, run string, by CommandRequest) error
	// Rules lists the rules in force; CompareRules what shadow rules would have
	// done beside what active ones did.
	Rules(ctx context.Context) ([]RuleInfo, error)
	CompareRules(ctx context.Context, q CompareQuery) (any, error)
	// Explain says why an event, or a run, by its id, did what it did.
	Explain(ctx context.Context, id string) (any, error)
	Situations(ctx context.Context, q SituationQuery, yield func(any) error) error
	Situation(ctx context.Context, id string) (any, error)
	// SituationCommand acknowledges or resolves one ("acknowledge", "resolve").
	SituationCommand(ctx context.Context, verb, id string, by CommandRequest) error
	Reload(ctx context.Context) (Status, error)
}

// Server is the handler of the one HTTP listener. Safe for many goroutines.
type Server struct {
	backend Backend
	token   [sha256.Size]byte
	metrics http.Handler
	log     *slog.Logger
	mux     *http.ServeMux
	routes  []Route

	mu       sync.RWMutex
	webhooks map[string]http.Handler
	fallback http.Handler // names that no source has
	mounted  bool         // all sources are there

	logTurns chan struct{} // of those who read the log
}

// Route is one entry of the router, for tests that walk it.
type Route struct {
	Pattern string // method and path, as http.ServeMux writes them
	Open    bool   // open on loopback without the token
}

// New returns a server. token must not be empty.
func New(b Backend, token string, metrics http.Handler, log *slog.Logger) (*Server, error) {
	if token == "" {
		return nil, errors.New("api: the token is empty")
	}
	s := &Server{backend: b, token: sha256.Sum256([]byte(token)), metrics: metrics, log: log,
		mux: http.NewServeMux(), webhooks: map[string]http.Handler{}, logTurns: make(chan struct{}, logReaders)}
	s.open("GET /healthz", s.healthz)
	s.open("GET /readyz", s.readyz)
	s.open("GET /metrics", metrics.ServeHTTP)
	s.api("GET /api/v1/status", s.status)
	s.api("GET /api/v1/ledger", s.ledger)
	s.api("GET /api/v1/events", s.events)
	s.api("GET /api/v1/events/{id}", s.event)
	s.api("POST /api/v1/events/{id}/resubmit", s.resubmit)
	s.api("POST /api/v1/replay", s.replay)
	s.api("GET /api/v1/runs", s.runs)
	s.api("GET /api/v1/runs/{id}", s.run)
	s.api("GET /api/v1/deadletters", s.deadletters)
	s.api("GET /api/v1/deadletters/{id}", s.run)
	s.api("POST /api/v1/deadletters/{id}/requeue", s.command("requeue"))
	s.api("POST /api/v1/deadletters/{id}/discard", s.command("discard"))
	s.api("GET /api/v1/rules", s.rules)
	s.api("GET /api/v1/rules/compare", s.compareRules)
	s.api("GET /api/v1/explain/{id}", s.explain)
	s.api("GET /api/v1/situations", s.situations)
	s.api("GET /api/v1/situations/{id}", s.situation)
	s.api("POST /api/v1/situations/{id}/acknowledge", s.situationCommand("acknowledge"))
	s.api("POST /api/v1/situations/{id}/resolve", s.situationCommand("resolve"))
	s.api("POST /api/v1/reload", s.reload)
	s.api("GET /api/v1/log/batches", s.batches)
	s.api("GET /api/v1/log/rules", s.bundle)
	s.api("GET /debug/pprof/{profile}", profile)
	s.mux.HandleFunc("/webhook/{name}", s.webhook)
	s.mux.HandleFunc("/", s.nowhere)
	return s, nil
}

// Routes lists what needs the token or loopback. Webhooks have their own
// authentication and are not in it.
func (s *Server) Routes() []Route { return s.routes }

// Webhook mounts a source's handler at /webhook/<name>; an empty name is for
// names that no source has.
func (s *Server) Webhook(name string, h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" {
		s.fallback = h
		return
	}
	s.webhooks[name] = h
}

// ServeHTTP makes Server an http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("Cache-Control", "no-store")
	s.mux.ServeHTTP(w, r)
}

// Mounted says that all webhooks are there: from now on a name that is not is
// unknown, and not only early.
func (s *Server) Mounted() {
	s.mu.Lock()
	s.mounted = true
	s.mu.Unlock()
}

func (s *Server) webhook(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	h := s.webhooks[r.PathValue("name")]
	if h == nil {
		h = s.fallback
	}
	mounted := s.mounted
	s.mu.RUnlock()
	if h == nil && !mounted {
		w.Header().Set("Retry-After", "2")
		Fail(w, http.StatusServiceUnavailable, "starting", "Signalbox is starting: send it again later")
		return
	}
	if h == nil {
		Fail(w, http.StatusNotFound, "no such source", "no webhook source is named "+strconv.Quote(r.PathValue("name")))
		return
	}
	h.ServeHTTP(w, r)
}

func (s *Server) nowhere(w http.ResponseWriter, _ *http.Request) {
	Fail(w, http.StatusNotFound, "no such path", "webhooks are at /webhook/<source>, the API is at /api/v1/")
}

// open mounts a handler that the same machine may ask without the token.
func (s *Server) open(pattern string, h http.HandlerFunc) {
	s.routes = append(s.routes, Route{Pattern: pattern, Open: true})
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if !local(r) && !s.authorized(r) {
			s.deny(w)
			return
		}
		h(w, r)
	})
}

func (s *Server) api(pattern string, h http.HandlerFunc) {
	s.routes = append(s.routes, Route{Pattern: pattern})
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if !s.authorized(r) {
			s.deny(w)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		h(w, r)
	})
}

func (s *Server) authorized(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(given)) // equal lengths, so that the comparison takes the same time
	return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 && ok
}

func (s *Server) deny(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="signalbox"`)
	Fail(w, http.StatusUnauthorized, "a token is needed",
		"send Authorization: Bearer with the content of "+TokenFile+" in the data folder")
}

// local says whether a request comes from this machine and was not forwarded by
// a proxy on it.
func local(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	if ip == nil || !ip.IsLoopback() {
		return false
	}
	for _, h := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	return true
}

// Fail answers with a problem of RFC 9457.
func Fail(w http.ResponseWriter, status int, title, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{Type: "about:blank", Title: title, Status: status, Detail: detail})
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		Fail(w, http.StatusNotFound, ErrNotFound.Error(), err.Error())
	case errors.Is(err, ErrInvalid): // the title says that already
		Fail(w, http.StatusBadRequest, ErrInvalid.Error(), strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	case r.Context().Err() != nil: // nobody listens any more
	default:
		s.log.WarnContext(r.Context(), "API request failed", "path", r.URL.Path, "err", err)
		Fail(w, http.StatusServiceUnavailable, "cannot be done now", err.Error())
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func decode(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: the body: %w", ErrInvalid, err)
	}
	return nil
}
