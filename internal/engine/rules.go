package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"signalbox/internal/record"
)

// rulesPart takes one part of a rule set and says whether the set is whole and
// in force from here on. A set that was interrupted by a restart begins again
// with part 0.
func (e *Engine) rulesPart(p *record.Rules) (switched bool, err error) {
	if p.Part == 0 {
		e.parts, e.next = nil, 0
	}
	if p.Part != e.next {
		return false, nil // the rest of a set whose beginning was never written
	}
	e.parts = append(e.parts, p.Data...)
	e.next++
	if e.next < p.Parts {
		return false, nil
	}
	bundle := e.parts
	e.parts, e.next = nil, 0
	return true, e.use(bundle)
}

// use puts a bundle in force. Windows whose meaning is the same are kept.
func (e *Engine) use(bundle []byte) error {
	rules, err := e.load(bundle)
	if err != nil {
		return err
	}
	w := rules.Windows()
	if e.redelivery == nil || e.redelivery.within != w.Redelivery {
		e.redelivery = newWindow(w.Redelivery, MaxKeys)
	}
	e.resets = nil
	for _, l := range []*lane{e.live, e.replay} {
		if l == nil {
			continue
		}
		if l.global == nil || l.global.within != w.Global {
			l.global = newWindow(w.Global, MaxKeys)
		}
		told := l.useWindows(rules)
		told = append(told, l.use(rules)...)
		told = append(told, l.useLimits(rules)...)
		if l == e.live {
			e.resets = told
		}
	}
	e.rules, e.bundle = rules, bundle
	return nil
}

// useWindows keeps the windows of rules whose meaning is the same.
func (l *lane) useWindows(rules Rules) (resets []string) {
	for _, name := range slices.Sorted(maps.Keys(l.own)) {
		rule, signature, _ := strings.Cut(name, "\x00")
		if rules.Keeps(rule, signature) {
			continue
		}
		if held := l.own[name].len(); held > 0 {
			resets = append(resets, fmt.Sprintf("rule %s: its dedup changed; %s reset", rule, keysWere(held)))
		}
		delete(l.own, name)
	}
	return resets
}

// windows lists all dedup windows in a fixed order.
func (e *Engine) windows() []*window {
	var out []*window
	if e.redelivery != nil {
		out = append(out, e.redelivery)
	}
	for _, l := range []*lane{e.live, e.replay} {
		if l == nil {
			continue
		}
		if l.global != nil {
			out = append(out, l.global)
		}
		for _, name := range slices.Sorted(maps.Keys(l.own)) {
			out = append(out, l.own[name])
		}
	}
	return out
}

func sortedNames(m map[string]*pipe) []string { return slices.Sorted(maps.Keys(m)) }

// KeyOf hashes parts into a key. Each part is preceded by its length, so that
// ("ab", "c") and ("a", "bc") differ.
func KeyOf(parts ...[]byte) Key {
	buf := make([]byte, 0, 256)
	for _, p := range parts {
		buf = binary.AppendUvarint(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	sum := sha256.Sum256(buf)
	return Key(sum[:16])
}

func redeliveryKey(source, senderID string) Key {
	return KeyOf([]byte(source), []byte(senderID))
}

// keysWere counts keys for people.
func keysWere(n int) string {
	if n == 1 {
		return "1 key was"
	}
	return fmt.Sprintf("%d keys were", n)
}

// changesEach is how many changes of situations one decision tells.
const changesEach = 64

// tellEnded decides what became of the situations that the rules in force have
// reset, so that whoever lists situations knows. most bounds the bytes.
func (l *lane) tellEnded(most int) {
	l.main, l.extraOf = nil, closed
	for len(l.ended) > 0 && l.size <= most {
		n := min(changesEach, len(l.ended))
		l.extraOf = closed
		d := l.decision(none)
		d.Situations = append(d.Situations, l.ended[:n]...)
		l.ended = l.ended[n:]
		l.size += sizeOf(d)
	}
	l.ended, l.extraOf = nil, closed
}
