package correlate

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"signalbox/event"
	"signalbox/internal/record"
)

// The states of a situation, as record.SituationChange has them.
const (
	stateOpen         = "open"
	stateAcknowledged = "acknowledged"
	stateResolved     = "resolved"
)

// situations keeps the situations that are not resolved. What became of those
// that are is in the log's decisions.
type situations struct {
	rules   map[string]*ruleSituations
	openers map[event.ID][]situationPlace // by events that tell of something that is down
}

// ruleSituations are those of one rule, by their key.
type ruleSituations struct {
	table[situationState]
	rule, signature string
}

// situationPlace is where a situation is.
type situationPlace struct {
	of *ruleSituations
	n  uint32
}

func (at situationPlace) state() *situationState { return &at.of.at(at.n).state }

type situationState struct {
	id           situationID
	acknowledged bool
	count        uint32 // of its events
	last         Kept   // the last event of what was found
	openers      []event.ID
}

// maxOpeners bounds the events of one situation that others can be attached by.
const maxOpeners = 16

func newSituations() *situations {
	return &situations{rules: map[string]*ruleSituations{}, openers: map[event.ID][]situationPlace{}}
}

// Found opens a situation, or updates the one that is not resolved.
func (m *situations) Found(env *Env, f *Finding) Story {
	key, plan := f.Ends.Situation, env.Plan.Situation
	rs := m.rules[env.Rule]
	if rs == nil {
		rs = &ruleSituations{newTable[situationState](), strings.Clone(env.Rule), plan.Signature}
		m.rules[rs.rule] = rs
	}
	change, branch, run := "updated", "updated", plan.Updated
	if _, s := rs.find(env, key); s == nil {
		if !m.room(env, rs) {
			env.Note(Note{Outcome: "full", Detail: "it keeps as many situations as it may", Key: key})
			return Story{}
		}
		change, branch, run = "opened", "", true
	}
	n, s, _ := rs.useKey(env, key, nil)
	if change == "opened" {
		s.state.id = newSituationID(env, key)
	}
	s.state.last = f.Event
	s.state.count += uint32(f.Total)
	m.remember(env, situationPlace{rs, n}, f)
	return Story{Change: changed(rs.rule, s, change, f.Event.ID()), Run: run, Branch: branch, Finding: *f}
}

// room makes room for one more situation of a rule, by its plan. One that is
// forgotten is told as resolved: nothing can do that later.
func (m *situations) room(env *Env, rs *ruleSituations) bool {
	for rs.places.Len() >= env.Plan.maxKeys() {
		if env.Plan.Refuse {
			rs.refused++
			return false
		}
		n := rs.oldest
		c := m.end(env, rs, n, "")
		c.Note = "forgotten: more situations of this rule are open than its max_keys"
		rs.evicted++
		env.Stories = append(env.Stories, Story{Change: c})
	}
	return true
}

// situationID is derived from the rule, the key and what opened it, so it is
// the same for ever.
type situationID struct {
	at   record.Position
	hash [8]byte
}

func newSituationID(env *Env, key string) situationID {
	h := sha256.New()
	for _, s := range []string{env.Rule, key, dueText(env)} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return situationID{env.At, [8]byte(h.Sum(nil))}
}

func (id situationID) compare(other situationID) int {
	return cmp.Or(cmp.Compare(id.at.Seq, other.at.Seq), cmp.Compare(id.at.Index, other.at.Index), bytes.Compare(id.hash[:], other.hash[:]))
}

func (id situationID) String() string {
	return fmt.Sprintf("s%d-%d-%s", id.at.Seq, id.at.Index, hex.EncodeToString(id.hash[:]))
}

// parseSituationID reads what String writes; ok is false for all else.
func parseSituationID(text string) (id situationID, ok bool) {
	part := strings.SplitN(text, "-", 3)
	if len(part) < 3 || !strings.HasPrefix(text, "s") {
		return id, false
	}
	seq, err1 := strconv.ParseUint(part[0][1:], 10, 64)
	index, err2 := strconv.ParseUint(part[1], 10, 32)
	hash, err3 := hex.DecodeString(part[2])
	if err1 != nil || err2 != nil || err3 != nil || len(hash) != len(id.hash) {
		return id, false
	}
	id = situationID{record.Position{Seq: seq, Index: uint32(index)}, [8]byte(hash)}
	return id, id.String() == text
}

func dueText(env *Env) string {
	if env.Due.IsZero() {
		return ""
	}
	return fmt.Sprint(env.Due.UnixNano())
}

// remember notes the events of a finding that tell of something that is down,
// so that what is suppressed behind it finds the situation.
func (m *situations) remember(env *Env, at situationPlace, f *Finding) {
	st := at.state()
	if net, ok := env.Network.(*network); !ok || net.g == nil {
		return // nothing is ever suppressed
	}
	for _, k := range f.Events {
		if len(st.openers) >= maxOpeners {
			return
		}
		if eff := env.Rules.Effect(k.Event().Type); eff != DeviceDown && eff != LinkDown {
			continue
		}
		if id := k.ID(); !slices.Contains(m.openers[id], at) {
			m.opened(id, at)
			st.openers = append(st.openers, id)
		}
	}
}

// opened enters a situation under one of its events, in order of ids.
func (m *situations) opened(ev event.ID, at situationPlace) {
	list := append(m.openers[ev], at)
	slices.SortFunc(list, func(a, b situationPlace) int { return a.state().id.compare(b.state().id) })
	m.openers[ev] = list
}

// changed is a step in the life of a situation.
func changed(rule string, s *slot[situationState], what string, ev event.ID) record.SituationChange {
	st := &s.state
	c := record.SituationChange{ID: st.id.String(), Rule: rule, Key: KeyText(s.key), Change: what, State: stateOpen, Event: ev, Count: st.count}
	if st.acknowledged {
		c.State = stateAcknowledged
	}
	return c
}

// end resolves a situation and forgets it.
func (m *situations) end(env *Env, rs *ruleSituations, n uint32, ev event.ID) record.SituationChange {
	s := rs.at(n)
	c := changed(rs.rule, s, "resolved", ev)
	c.State = stateResolved
	m.forget(situationPlace{rs, n})
	rs.drop(env, n)
	return c
}

// Resolve ends the situation that an event resolves.
func (m *situations) Resolve(env *Env, in *Input, it *Item) Story {
	rs := m.rules[env.Rule]
	if rs == nil {
		return Story{}
	}
	n, s := rs.find(env, in.SituationKey)
	if s == nil {
		return Story{}
	}
	c := m.end(env, rs, n, it.Event().ID)
	c.Count++ // the event that ends it is one of its own
	return m.resolved(c, env.Plan.Situation, in.SituationKey, it.Keep())
}

// resolved is the story of an end, with the steps for it.
func (m *situations) resolved(c record.SituationChange, plan *Situation, key string, ev Kept) Story {
	return Story{Change: c, Run: plan != nil && plan.Resolved, Branch: "resolved",
		Finding: Finding{Key: strings.Clone(key), Event: ev, Events: []Kept{ev}, Total: 1, Ends: Ends{Situation: strings.Clone(key)}}}
}

// Command is a person's word. The steps of a situation that a person resolves
// run with the last event of the situation: the ticket is to be closed all the
// same.
func (m *situations) Command(env *Env, verb, id, by, note string) Story {
	refuse := func(why string) Story { return Story{Change: record.SituationChange{By: by, Note: why}} }
	at, ok := m.byID(id)
	if !ok {
		return refuse("there is no situation " + id + " that is not resolved")
	}
	rs := at.of
	s := rs.at(at.n)
	switch verb {
	case "acknowledge":
		if s.state.acknowledged {
			return refuse("situation " + id + " is acknowledged already")
		}
		s.state.acknowledged = true
		c := changed(rs.rule, s, "acknowledged", "")
		c.By, c.Note = by, note
		return Story{Change: c}
	case "resolve":
		key, last := s.key, s.state.last
		c := m.end(env, rs, at.n, "")
		c.By, c.Note = by, note
		var plan *Situation
		if p := env.Rules.Plan(rs.rule); p != nil {
			plan = p.Situation
		}
		return m.resolved(c, plan, key, last)
	}
	return refuse("situations know no " + verb)
}

// byID looks through all situations: a person's command is worth the
// millisecond, an index by id is not worth its memory.
func (m *situations) byID(text string) (situationPlace, bool) {
	id, ok := parseSituationID(text)
	if !ok {
		return situationPlace{}, false
	}
	for _, rs := range m.rules { // at most one has it
		for n := rs.oldest; n != 0; n = rs.at(n).next {
			if rs.at(n).state.id == id {
				return situationPlace{rs, n}, true
			}
		}
	}
	return situationPlace{}, false
}

// Attach adds an event to the situations that another event opened. All but the
// first go to env.Stories.
func (m *situations) Attach(env *Env, opener event.ID, it *Item) (first Story) {
	for i, at := range m.openers[opener] {
		at.state().count++
		story := Story{Change: changed(at.of.rule, at.of.at(at.n), "updated", it.Event().ID)}
		if i == 0 {
			first = story
		} else {
			env.Stories = append(env.Stories, story)
		}
	}
	return first
}

// forget takes a situation out of what others find it by.
func (m *situations) forget(at situationPlace) {
	for _, id := range at.state().openers {
		rest := slices.DeleteFunc(m.openers[id], func(x situationPlace) bool { return x == at })
		if m.openers[id] = rest; len(rest) == 0 {
			delete(m.openers, id)
		}
	}
}

// Use resets the situations of rules that mean another thing by them now.
func (m *situations) Use(signature func(rule string) (string, bool), reset func(rule string, ended []record.SituationChange)) {
	for _, rule := range slices.Sorted(maps.Keys(m.rules)) {
		rs := m.rules[rule]
		if sig, ok := signature(rule); ok && sig == rs.signature {
			continue
		}
		var ended []record.SituationChange
		for n := rs.oldest; n != 0; n = rs.at(n).next {
			c := changed(rule, rs.at(n), "resolved", "")
			c.State, c.Note = stateResolved, "reset: the rule is another one now, or means another thing by its situations"
			ended = append(ended, c)
			m.forget(situationPlace{rs, n})
		}
		delete(m.rules, rule)
		if len(ended) > 0 {
			reset(rule, ended)
		}
	}
}

// OpenSituation is a situation that is not resolved.
type OpenSituation struct {
	ID, Rule, Key, State string
	Last                 event.ID // the last event of what was found
}

// Open lists the situations that are not resolved.
func (m *situations) Open() []OpenSituation {
	out := make([]OpenSituation, 0, m.Keys().Held)
	for _, rule := range slices.Sorted(maps.Keys(m.rules)) {
		rs := m.rules[rule]
		for n := rs.oldest; n != 0; {
			s := rs.at(n)
			c := changed(rule, s, "", s.state.last.ID())
			out = append(out, OpenSituation{c.ID, rule, c.Key, c.State, c.Event})
			n = s.next
		}
	}
	return out
}

// Fire is never called: situations have no timers.
func (m *situations) Fire(*Env, uint32) {}

// Expire forgets nothing: a situation ends when it is resolved.
func (m *situations) Expire(*Env) {}

// KeysOf counts those of one rule.
func (m *situations) KeysOf(rule string) Keys {
	if rs := m.rules[rule]; rs != nil {
		return rs.Keys()
	}
	return Keys{}
}

// Keys counts those of all rules.
func (m *situations) Keys() (k Keys) {
	for _, rs := range m.rules {
		one := rs.Keys()
		k.Held += one.Held
		k.Evicted += one.Evicted
		k.Refused += one.Refused
	}
	return k
}

// Save writes all situations.
func (m *situations) Save(w *StateWriter) {
	w.Uint(uint64(len(m.rules)))
	for _, rule := range slices.Sorted(maps.Keys(m.rules)) {
		rs := m.rules[rule]
		w.String(rule)
		w.String(rs.signature)
		rs.save(w, func(w *StateWriter, st *situationState) {
			w.String(st.id.String())
			w.Bool(st.acknowledged)
			w.Uint(uint64(st.count))
			w.Kept(st.last)
			w.Uint(uint64(len(st.openers)))
			for _, id := range st.openers {
				w.String(string(id))
			}
		})
	}
}

// Load reads them.
func (m *situations) Load(r *StateReader) {
	for n := r.Uint(); n > 0 && r.err == nil; n-- {
		rule := r.String()
		rs := &ruleSituations{newTable[situationState](), rule, r.String()}
		m.rules[rule] = rs
		rs.load(r, func(r *StateReader, st *situationState) {
			var ok bool
			if st.id, ok = parseSituationID(r.String()); !ok {
				r.fail()
			}
			st.acknowledged, st.count, st.last = r.Bool(), uint32(r.Uint()), r.Kept()
			for k := r.Uint(); k > 0 && r.err == nil; k-- {
				st.openers = append(st.openers, event.ID(r.String()))
			}
		})
		for n := rs.oldest; n != 0; n = rs.at(n).next {
			st := &rs.at(n).state
			for _, id := range st.openers {
				m.opened(id, situationPlace{rs, n})
			}
		}
	}
}
