// Package webhook takes events in by HTTP: POST /webhook/<source> with a JSON
// object, a JSON array of objects, or CloudEvents. It answers 202 only once the
// log has the events on disk; every other answer but "rejected" means that
// nothing was taken, and the sender may send again.
//
// A request is judged from the cheap to the dear: method, authentication by
// headers, rate, length, then the body under a deadline and a memory budget,
// its signature over the bytes on the wire, and only then what it says.
package webhook

import (
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
)

// Source is one webhook endpoint, or all those without a configuration.
type Source struct {
	cfg     Config
	env     source.Env
	open    bool // names come from the path
	checks  checks
	limiter *rate.Limiter
	mem     budget
	headers []string // canonical
	idHead  string
	idPath  []string
	now     func() time.Time

	mu       sync.Mutex
	emit     source.Emit // nil before Run and after its end
	inflight int         // requests between emit and their receipts
	idle     chan struct{}
}

// New makes a source and mounts its handler, which answers 503 until Run.
// Secrets are resolved here: an empty or missing one is an error.
func New(env source.Env, cfg Config) (*Source, error) {
	s, err := build(env, cfg)
	if err == nil && env.Handle != nil {
		env.Handle(s)
	}
	return s, err
}

// Default makes the source behind POST /webhook/{name} for names that have no
// configuration: events in Signalbox's own form, from the same machine only.
// The source's name is the path's last element.
func Default(env source.Env) *Source {
	s, err := build(env, DefaultConfig())
	if err != nil {
		panic("webhook: the default configuration needs no secret: " + err.Error())
	}
	s.open = true
	if env.Handle != nil {
		env.Handle(s)
	}
	return s
}

func build(env source.Env, cfg Config) (*Source, error) {
	c, err := newChecks(cfg, "webhook/"+env.Name)
	if err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, env: env, checks: c, now: time.Now, mem: budget{max: int64(cfg.MaxMemory)}}
	for _, h := range cfg.Headers {
		s.headers = append(s.headers, http.CanonicalHeaderKey(h))
	}
	if env.MappingHeaders != nil && cfg.Mapping != "" {
		for _, h := range env.MappingHeaders(cfg.Mapping) {
			if h = http.CanonicalHeaderKey(h); !slices.Contains(s.headers, h) {
				s.headers = append(s.headers, h)
			}
		}
	}
	s.idHead = http.CanonicalHeaderKey(cfg.IDHeader)
	if cfg.IDHeader == "" && cfg.IDField == "" && cfg.Auth.StandardWebhooks != nil {
		s.idHead = "Webhook-Id"
	}
	if cfg.IDField != "" {
		s.idPath = strings.Split(cfg.IDField, ".")
	}
	if cfg.Rate.PerSecond > 0 {
		burst := cfg.Rate.Burst
		if burst == 0 {
			burst = int(cfg.Rate.PerSecond) + 1
		}
		s.limiter = rate.NewLimiter(rate.Limit(cfg.Rate.PerSecond), burst)
	}
	return s, nil
}

// Run lets requests in until ctx ends, and returns when those that were handed
// to the log have their answer.
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	s.mu.Lock()
	s.emit = emit
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.emit = nil
	var idle chan struct{}
	if s.inflight > 0 {
		idle = make(chan struct{})
		s.idle = idle
	}
	s.mu.Unlock()
	if idle != nil {
		<-idle
	}
	return nil
}

// begin lends emit to a request, or nil when the source does not run.
func (s *Source) begin() source.Emit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.emit != nil {
		s.inflight++
	}
	return s.emit
}

func (s *Source) end() {
	s.mu.Lock()
	s.inflight--
	if s.inflight == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	s.mu.Unlock()
}

func (s *Source) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.emit != nil
}

// ServeHTTP answers one request.
func (s *Source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mem := lease{from: &s.mem}
	defer mem.release()
	receipts, p := s.serve(w, r, &mem)
	if p == nil {
		accepted(w, receipts)
		return
	}
	p.write(w)
}

// refuse counts a request that never became events.
func (s *Source) refuse(p *problem) *problem {
	s.env.Counters.Received(1)
	s.env.Counters.Refused(p.reason, 1)
	return p
}

func (s *Source) serve(w http.ResponseWriter, r *http.Request, mem *lease) ([]source.Receipt, *problem) {
	name, p := s.admit(r)
	if p != nil {
		return nil, s.refuse(p)
	}
	isGzip, p := encoding(r)
	if p != nil {
		return nil, s.refuse(p)
	}
	body, p := s.readWire(w, r, mem)
	if p != nil {
		return nil, s.refuse(p)
	}
	received := s.now()
	claims, p := s.verify(r, body, received)
	if p != nil {
		return nil, s.refuse(p)
	}
	if isGzip {
		if body, p = s.inflate(body, mem); p != nil {
			release(claims)
			return nil, s.refuse(p)
		}
	}
	items, p := s.split(r, body, mem)
	if p != nil {
		release(claims)
		return nil, s.refuse(p)
	}
	receipts, p := s.handOver(r.Context(), s.inputs(r, name, items, received))
	if p != nil && p.receipts == nil {
		release(claims) // not taken: the same request may come again
	}
	return receipts, p
}

// admit decides by what stands before the body, and gives the source's name.
func (s *Source) admit(r *http.Request) (string, *problem) {
	if r.Method != http.MethodPost {
		return "", &problem{status: http.StatusMethodNotAllowed, reason: "method", detail: "events are sent with POST", allow: http.MethodPost}
	}
	name := s.env.Name
	if s.open {
		if name = r.PathValue("name"); name == "" {
			name = path.Base(r.URL.Path)
		}
		if !validName(name) {
			return "", &problem{status: http.StatusNotFound, reason: "name", detail: "a source is named with 1 to 64 of a-z, 0-9, _ and -"}
		}
	}
	for _, check := range s.checks.header {
		if no := check(r); no != nil {
			return "", no.problem()
		}
	}
	if !s.running() {
		return "", unavailable("Signalbox is starting or stopping: send it again later")
	}
	if s.limiter != nil && !s.limiter.Allow() {
		return "", busy("more requests than this source may send")
	}
	return name, nil
}

func (no *refusal) problem() *problem {
	reason := "auth"
	if no.status == http.StatusConflict {
		reason = "replay"
	}
	return &problem{status: no.status, reason: reason, detail: no.detail, challenge: no.challenge}
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func (s *Source) verify(r *http.Request, wire []byte, now time.Time) ([]*claim, *problem) {
	var claims []*claim
	for _, check := range s.checks.body {
		c, no := check(r, wire, now)
		if no != nil {
			release(claims)
			return nil, no.problem()
		}
		if c != nil {
			claims = append(claims, c)
		}
	}
	return claims, nil
}

func release(claims []*claim) {
	for _, c := range claims {
		c.release()
	}
}

// handOver gives the events to the log and waits for what becomes of them.
func (s *Source) handOver(ctx context.Context, batch []normalize.Input) ([]source.Receipt, *problem) {
	if len(batch) == 0 {
		return []source.Receipt{}, nil
	}
	s.env.Counters.Received(len(batch))
	emit := s.begin()
	if emit == nil {
		s.env.Counters.Refused("unavailable", len(batch))
		return nil, unavailable("Signalbox is stopping: send it again later")
	}
	answers := make(chan []source.Receipt, 1)
	wait, cancel := context.WithTimeout(ctx, s.cfg.BusyWait)
	err := emit(wait, batch, func(r []source.Receipt) {
		answers <- r
		s.end()
	})
	cancel()
	if err != nil {
		s.end()
		p := unavailable(logDown(err) + ": send it again later")
		if errors.Is(err, source.ErrBusy) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			p = busy("too many events in flight")
		}
		s.env.Counters.Refused(p.reason, len(batch))
		return nil, p
	}
	select {
	case receipts := <-answers:
		return receipts, outcome(receipts)
	case <-ctx.Done():
		// The sender has gone: nobody reads an answer. The log folds a second
		// sending by the sender's id.
		return nil, unavailable("the connection was given up before the events were on disk: send them again")
	}
}
