package snmp

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"signalbox/internal/normalize"
)

// guard decides who is let in. Safe for many goroutines.
type guard struct {
	now          func() time.Time
	anyCommunity bool
	communities  [][32]byte // SHA-256, so that comparing tells no length
	users        map[string][]*user
	engine       *engine
	peers        *peers
	stats        [7]atomic.Uint32 // usmStats, by the last number of their OID
	salt         atomic.Uint64
}

// usmStats (RFC 3414, section 5), by number below 1.3.6.1.6.3.15.1.1.
const (
	statUnsupportedLevels = 1
	statNotInTimeWindows  = 2
	statUnknownUsers      = 3
	statUnknownEngines    = 4
	statWrongDigests      = 5
	statDecryptionErrors  = 6
)

func newGuard(c Config, source string, now func() time.Time) (*guard, error) {
	g := &guard{now: now, anyCommunity: c.anyCommunity(), users: map[string][]*user{}, peers: newPeers(maxEngines)}
	for i, r := range c.Communities {
		v, err := r.Value()
		if err != nil {
			return nil, fmt.Errorf("communities[%d]: %w", i, err)
		}
		g.communities = append(g.communities, sha256.Sum256([]byte(v)))
	}
	for _, cu := range c.Users {
		u, err := newUser(cu)
		if err != nil {
			return nil, err
		}
		g.users[u.name] = append(g.users[u.name], u)
	}
	var err error
	if g.engine, err = newEngine(c, source, now()); err != nil {
		return nil, err
	}
	g.salt.Store(uint64(now().UnixNano()))
	return g, nil
}

func constantTimeEqual(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// community says whether a v1 or v2c message may come in. Every community is
// compared, so that the time tells nothing.
func (g *guard) community(c []byte) bool {
	sum := sha256.Sum256(c)
	ok := 0
	for i := range g.communities {
		ok |= subtle.ConstantTimeCompare(sum[:], g.communities[i][:])
	}
	return ok == 1 || g.anyCommunity
}

// refusal is why a message is not let in, and what to tell its sender.
type refusal struct {
	reason string // for the counters
	detail string // for the log
	stat   int    // of a report, 0 for none
	signed bool   // the report is signed, as the sender needs to trust it
	user   *user
	// quiet marks what is part of the protocol (discovery) and is not counted.
	quiet bool
}

// admit checks a v3 message by RFC 3414, section 3.2, and decrypts it.
func (g *guard) admit(m *message) (*user, *refusal) {
	ours := m.engineID == g.engine.id
	if !ours && (len(m.engineID) < 5 || m.user == "") {
		if m.reportable() {
			return nil, g.refuse(&refusal{reason: "discovery", stat: statUnknownEngines, quiet: true})
		}
		return nil, &refusal{reason: "malformed", detail: "v3 message with no engine id or no user"}
	}
	u, authKey, ref := g.identify(m)
	if ref != nil {
		if !ours && m.reportable() {
			// An inform for the engine we were, or for somebody else: the
			// engine comes first in RFC 3414, so that is what is told.
			ref.stat = statUnknownEngines
			g.stats[statUnknownEngines].Add(1)
		}
		return nil, ref
	}
	if m.level() != levelNone {
		if ref := g.inTime(m, u, authKey, ours); ref != nil {
			return nil, ref
		}
	}
	plain := m.scoped
	if m.level() == levelPriv {
		r := reader{b: m.scoped}
		var err error
		plain, err = decrypt(u.priv, g.peers.privKey(m.engineID, u), m.boots, m.seconds, m.salt, r.want(tagOctets))
		if err != nil || r.err != nil {
			return nil, g.refuse(&refusal{reason: "auth", detail: "cannot be decrypted", stat: statDecryptionErrors, user: u})
		}
	}
	if err := m.open(plain); err != nil {
		if m.level() == levelPriv { // an authentic message that is nonsense inside: the wrong key
			return nil, g.refuse(&refusal{reason: "auth", detail: "decrypts to nonsense: wrong privacy secret or protocol", stat: statDecryptionErrors, user: u})
		}
		return nil, &refusal{reason: "malformed", detail: err.Error()}
	}
	if m.pdu[0] == pduInform && !ours {
		return nil, g.refuse(&refusal{reason: "discovery", stat: statUnknownEngines, quiet: true})
	}
	return u, nil
}

// identify finds the user: the name, the engine, the level and the signature
// must fit. Several users may share a name, with engines of their own.
func (g *guard) identify(m *message) (*user, []byte, *refusal) {
	ref := &refusal{reason: "auth", detail: "unknown user", stat: statUnknownUsers}
	for _, u := range g.users[m.user] {
		if u.engineID != "" && u.engineID != m.engineID && m.engineID != g.engine.id {
			continue
		}
		level := m.level()
		switch {
		case level < u.level:
			ref = &refusal{reason: "level", detail: "below the user's level " + u.level.String(), stat: statUnsupportedLevels}
			continue
		case level != levelNone && u.auth == nil, level == levelPriv && u.priv == nil:
			ref = &refusal{reason: "level", detail: "above what the user has secrets for", stat: statUnsupportedLevels}
			continue
		case level == levelNone:
			return u, nil, nil
		}
		key := g.peers.authKey(m.engineID, u)
		if m.authentic(u, key) {
			return u, key, nil
		}
		ref = &refusal{reason: "auth", detail: "wrong signature", stat: statWrongDigests}
	}
	return nil, nil, g.refuse(ref)
}

// inTime checks the clock of an authentic message.
func (g *guard) inTime(m *message, u *user, key []byte, ours bool) *refusal {
	ok := false
	if ours {
		ok = g.engine.inWindow(m.boots, m.seconds, g.now())
	} else {
		ok = g.peers.fresh(m.engineID, u, key, m.boots, m.seconds, g.now())
	}
	if ok {
		return nil
	}
	ref := g.refuse(&refusal{reason: "replay", detail: "outside the time window", stat: statNotInTimeWindows, signed: true, user: u})
	if ours && m.reportable() && m.boots == 0 {
		// How a sender that has just found us asks for our clock (RFC 3414,
		// section 4).
		ref.reason, ref.quiet = "discovery", true
	}
	return ref
}

func (g *guard) refuse(r *refusal) *refusal {
	g.stats[r.stat].Add(1)
	return r
}

// take looks at one datagram: an Input to hand over, with what is to be
// answered where it is an inform, or not ok.
func (r *run) take(d datagram) (in normalize.Input, a *answer, ok bool) {
	// What no parser of ours is known to do, hostile bytes may still find.
	defer func() {
		if p := recover(); p != nil {
			r.env.Counters.Received(1)
			r.env.Counters.Refused("malformed", 1)
			r.warn("panic", "datagram broke the parser", "peer", d.from.String(), "panic", fmt.Sprint(p))
			in, a, ok = normalize.Input{}, nil, false
		}
	}()
	m, err := parseMessage(d.bytes)
	if err != nil {
		r.refused(d, &refusal{reason: "malformed", detail: err.Error()})
		return in, nil, false
	}
	meta := map[string]string{"snmp_version": map[int64]string{0: "1", 1: "2c", 3: "3"}[m.version]}
	var u *user
	if m.version == 3 {
		var ref *refusal
		if u, ref = r.guard.admit(m); ref != nil {
			r.refused(d, ref)
			if ref.stat != 0 && m.reportable() {
				r.answer(answer{to: d.from, sock: d.sock, m: m, report: ref})
			}
			return in, nil, false
		}
		meta["snmp_user"], meta["snmp_engine"] = u.name, hex.EncodeToString([]byte(m.engineID))
	} else if !r.guard.community(m.community) {
		r.refused(d, &refusal{reason: "auth", detail: "unknown community"})
		return in, nil, false
	}
	switch m.pdu[0] {
	case pduTrapV1, pduTrapV2, pduInform:
	default:
		r.refused(d, &refusal{reason: "not_trap", detail: fmt.Sprintf("PDU of type %#x", m.pdu[0])})
		return in, nil, false
	}
	in = normalize.Input{
		Source: r.env.Name, Form: normalize.SNMP, Raw: m.raw(), Peer: d.from.String(), Received: d.received, Meta: meta,
	}
	if r.names != nil {
		if t, err := r.names.Parse(in.Raw); err == nil {
			in.Parsed = t
		}
	}
	r.env.Counters.Received(1)
	if m.pdu[0] != pduInform {
		return in, nil, true
	}
	if _, err := responsePDU(m.pdu); err != nil {
		return in, nil, true // kept, but there is no request id to answer to
	}
	in.SenderID = informID(d, m)
	a = &answer{to: d.from, sock: d.sock, m: m, user: u, key: in.SenderID}
	if !r.takeOff(a) {
		r.env.Counters.Refused("repeated", 1) // the first is answered when it is logged
		return in, nil, false
	}
	return in, a, true
}

// informID names an inform so that one that is sent again has the same name: a
// retransmission has the same PDU, with the same request id and uptime, and
// another inform that happens to have the id again differs in the rest.
func informID(d datagram, m *message) string {
	h := sha256.New()
	h.Write([]byte(d.from.Addr().String()))
	h.Write([]byte{0})
	h.Write([]byte(m.user))
	h.Write([]byte{0})
	h.Write(m.pdu)
	return "inform:" + hex.EncodeToString(h.Sum(nil)[:16])
}

func (r *run) refused(d datagram, ref *refusal) {
	if ref.quiet {
		return
	}
	r.env.Counters.Received(1)
	r.env.Counters.Refused(ref.reason, 1)
	r.warn(ref.reason, "snmp message refused", "reason", ref.reason, "detail", ref.detail, "peer", d.from.String())
}

func resolve(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
