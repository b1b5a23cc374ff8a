package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/url"
	"strconv"
	"strings"
	"time"

	"signalbox/event"
)

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	problems := s.backend.Ready()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(problems) == 0 {
		fmt.Fprintln(w, "ready")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, s.backend.Status(), nil)
}

func (s *Server) ledger(w http.ResponseWriter, r *http.Request) {
	l, err := s.backend.Ledger(r.Context(), r.URL.Query().Get("verify") == "true")
	s.answer(w, r, l, err)
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := EventQuery{Type: v.Get("type"), Device: v.Get("device"), Source: v.Get("source"), Status: v.Get("status"),
		Grep: v.Get("grep"), Follow: v.Get("follow") == "true"}
	var err error
	if q.Limit, err = number(v, "limit"); err == nil {
		if q.Since, err = point(v, "since"); err == nil {
			q.Until, err = point(v, "until")
		}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	l := newList(w, q.Follow)
	err = s.backend.Events(r.Context(), q, func(e *Entry) error { return l.add(e) })
	s.end(l, r, err)
}

func (s *Server) event(w http.ResponseWriter, r *http.Request) {
	e, err := s.backend.Event(r.Context(), event.ID(r.PathValue("id")))
	s.answer(w, r, e, err)
}

func (s *Server) resubmit(w http.ResponseWriter, r *http.Request) {
	var by CommandRequest
	if err := decode(r, &by); err != nil {
		s.fail(w, r, err)
		return
	}
	id, err := s.backend.Resubmit(r.Context(), event.ID(r.PathValue("id")), by)
	s.answer(w, r, map[string]any{"event": id}, err)
}

func (s *Server) replay(w http.ResponseWriter, r *http.Request) {
	var req ReplayRequest
	if err := decode(r, &req); err != nil {
		s.fail(w, r, err)
		return
	}
	res, err := s.backend.Replay(r.Context(), req)
	s.answer(w, r, res, err)
}

func (s *Server) runs(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := RunQuery{Rule: v.Get("rule"), Device: v.Get("device"), State: v.Get("state"),
		Replay: v.Get("replay") == "true", Follow: v.Get("follow") == "true"}
	var err error
	if q.Limit, err = number(v, "limit"); err != nil {
		s.fail(w, r, err)
		return
	}
	l := newList(w, q.Follow)
	err = s.backend.Runs(r.Context(), q, l.add)
	s.end(l, r, err)
}

func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	v, err := s.backend.Run(r.Context(), r.PathValue("id"))
	s.answer(w, r, v, err)
}

func (s *Server) deadletters(w http.ResponseWriter, r *http.Request) {
	l := newList(w, false)
	err := s.backend.DeadLetters(r.Context(), l.add)
	s.end(l, r, err)
}

func (s *Server) command(verb string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var by CommandRequest
		if err := decode(r, &by); err != nil {
			s.fail(w, r, err)
			return
		}
		run := r.PathValue("id")
		err := s.backend.Command(r.Context(), verb, run, by)
		s.answer(w, r, map[string]any{"run": run, "command": verb}, err)
	}
}

func (s *Server) rules(w http.ResponseWriter, r *http.Request) {
	list, err := s.backend.Rules(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	l := newList(w, false)
	for i := range list {
		if err = l.add(&list[i]); err != nil {
			break
		}
	}
	s.end(l, r, err)
}

func (s *Server) compareRules(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := CompareQuery{Rule: v.Get("rule"), With: v.Get("with")}
	var err error
	if q.Since, err = point(v, "since"); err == nil {
		q.Until, err = point(v, "until")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	res, err := s.backend.CompareRules(r.Context(), q)
	s.answer(w, r, res, err)
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	v, err := s.backend.Explain(r.Context(), r.PathValue("id"))
	s.answer(w, r, v, err)
}

func (s *Server) situations(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := SituationQuery{State: v.Get("state"), Rule: v.Get("rule"), Follow: v.Get("follow") == "true"}
	var err error
	if q.Limit, err = number(v, "limit"); err != nil {
		s.fail(w, r, err)
		return
	}
	l := newList(w, q.Follow)
	err = s.backend.Situations(r.Context(), q, l.add)
	s.end(l, r, err)
}

func (s *Server) situation(w http.ResponseWriter, r *http.Request) {
	v, err := s.backend.Situation(r.Context(), r.PathValue("id"))
	s.answer(w, r, v, err)
}

func (s *Server) situationCommand(verb string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var by CommandRequest
		if err := decode(r, &by); err != nil {
			s.fail(w, r, err)
			return
		}
		id := r.PathValue("id")
		err := s.backend.SituationCommand(r.Context(), verb, id, by)
		s.answer(w, r, map[string]any{"situation": id, "command": verb}, err)
	}
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	st, err := s.backend.Reload(r.Context())
	if err != nil {
		err = fmt.Errorf("%w: the running rules are kept:\n%w", ErrInvalid, err)
	}
	s.answer(w, r, st, err)
}

// profile serves the runtime's profiles, for `go tool pprof`.
func profile(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("profile"); name {
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Handler(name).ServeHTTP(w, r)
	}
}

// maxLimit is how long a list may be asked for: what it may hold is kept in
// memory until its end is known.
const maxLimit = 1_000_000

func number(v url.Values, name string) (int, error) {
	text := v.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: %s: %q is no number", ErrInvalid, name, text)
	}
	if n > maxLimit {
		return 0, fmt.Errorf("%w: %s: at most %d", ErrInvalid, name, maxLimit)
	}
	return n, nil
}

func point(v url.Values, name string) (time.Time, error) {
	text := v.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s: %q is no RFC 3339 time", ErrInvalid, name, text)
	}
	return t, nil
}

// list writes one JSON object a line. What follows is flushed line by line.
type list struct {
	w      http.ResponseWriter
	buf    *bufio.Writer
	enc    *json.Encoder
	flush  *http.ResponseController
	follow bool
	n      int
}

func newList(w http.ResponseWriter, follow bool) *list {
	l := &list{w: w, buf: bufio.NewWriterSize(w, 32<<10), flush: http.NewResponseController(w), follow: follow}
	l.enc = json.NewEncoder(l.buf)
	w.Header().Set("Content-Type", "application/x-ndjson")
	if follow {
		_ = l.flush.SetWriteDeadline(time.Time{})
		_ = l.flush.Flush() // the headers: the client knows that it is listening
	}
	return l
}

func (l *list) add(v any) error {
	l.n++
	if err := l.enc.Encode(v); err != nil {
		return err
	}
	if !l.follow {
		return nil
	}
	if err := l.buf.Flush(); err != nil {
		return err
	}
	return l.flush.Flush()
}

// Partial is the trailer behind a list that is not all that was asked for: it
// says why.
const Partial = "Signalbox-Partial"

// end finishes a list. An error after the first line can only be told in the
// list itself.
func (s *Server) end(l *list, r *http.Request, err error) {
	if errors.Is(err, ErrPartial) {
		l.w.Header().Set(http.TrailerPrefix+Partial, strings.TrimPrefix(err.Error(), ErrPartial.Error()+": "))
		err = nil
	}
	if err != nil && r.Context().Err() == nil {
		if l.n == 0 && !l.follow {
			s.fail(l.w, r, err)
			return
		}
		_ = l.enc.Encode(map[string]string{"error": err.Error()})
	}
	_ = l.buf.Flush()
}
