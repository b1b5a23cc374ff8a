package snmp

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	maxBoots   = 1<<31 - 1
	timeWindow = 150 // seconds, RFC 3414, 2.2.3

	// maxEngines bounds what is remembered of senders. Only engines whose
	// messages proved authentic get in.
	maxEngines = 16384
)

// engine is our own, which is the authority for informs.
type engine struct {
	id    string
	boots uint32
	start time.Time
}

// seconds since the engine started.
func (e *engine) seconds(now time.Time) uint32 { return uint32(now.Sub(e.start) / time.Second) }

// inWindow says whether a message that names our boots and time is fresh.
func (e *engine) inWindow(boots, seconds uint32, now time.Time) bool {
	d := int64(seconds) - int64(e.seconds(now))
	return boots == e.boots && boots != maxBoots && d <= timeWindow && d >= -timeWindow
}

// newEngine starts our engine once more: its id stays, and its count of starts
// grows. The count is never below the seconds since 2020, so that it grows even
// where nothing can be kept.
func newEngine(c Config, source string, now time.Time) (*engine, error) {
	e := &engine{start: now}
	e.id, _ = engineIDOf(c.EngineID) // Validate has read it
	kept, err := readState(c.StateDir, source)
	if err != nil {
		return nil, err
	}
	if e.id == "" {
		e.id = kept.id()
	}
	if e.id == "" {
		e.id = makeEngineID(c.StateDir != "", source)
	}
	boots := max(int64(kept.Boots)+1, now.Unix()-1577836800)
	e.boots = uint32(min(max(boots, 1), maxBoots-1))
	return e, writeState(c.StateDir, source, state{EngineID: hex.EncodeToString([]byte(e.id)), Boots: e.boots})
}

// state is what is kept over restarts.
type state struct {
	EngineID string `json:"engine_id"`
	Boots    uint32 `json:"boots"`
}

func (s state) id() string {
	id, err := engineIDOf(s.EngineID)
	if err != nil {
		return ""
	}
	return id
}

func statePath(dir, source string) string { return filepath.Join(dir, "snmp-"+source+".json") }

func readState(dir, source string) (s state, err error) {
	if dir == "" {
		return s, nil
	}
	b, err := os.ReadFile(statePath(dir, source))
	if os.IsNotExist(err) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("snmp engine: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		// A torn file costs a new engine id, which senders discover again.
		return state{}, nil
	}
	return s, nil
}

func writeState(dir, source string, s state) error {
	if dir == "" {
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := statePath(dir, source)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("snmp engine: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("snmp engine: %w", err)
	}
	return nil
}

// makeEngineID makes an id of RFC 3411's form 5 (octets). We have no
// enterprise number of our own, so it is the one of RFC 5612.
func makeEngineID(random bool, source string) string {
	id := []byte{0x80, 0x00, 0x7e, 0xd9, 5}
	var tail [12]byte
	if random {
		_, _ = rand.Read(tail[:]) // never fails (crypto/rand)
	} else {
		machine, _ := os.ReadFile("/etc/machine-id") // without one the host name has to do
		host, _ := os.Hostname()
		sum := sha256.Sum256([]byte("signalbox snmp\x00" + string(machine) + "\x00" + host + "\x00" + source))
		copy(tail[:], sum[:])
	}
	return string(append(id, tail[:]...))
}

// peers remembers the engines that send traps: their keys, and their clocks,
// by which a replayed message is known (RFC 3414, 3.2 (7b)).
type peers struct {
	mu     sync.Mutex
	limit  int
	byID   map[string]*list.Element
	recent *list.List // of *peer, the last used in front
}

type peer struct {
	id   string
	keys map[*user]*keys
	// The engine's clock, as authentic messages told it.
	known   bool
	boots   uint32
	seconds uint32    // the latest time received
	at      time.Time // when that was
}

// keys of one user at one engine; priv is made when it is first needed.
type keys struct{ auth, priv []byte }

func newPeers(limit int) *peers {
	return &peers{limit: limit, byID: map[string]*list.Element{}, recent: list.New()}
}

// authKey is the user's key at an engine: remembered, or made.
func (p *peers) authKey(id string, u *user) []byte {
	p.mu.Lock()
	if e := p.byID[id]; e != nil {
		if k := e.Value.(*peer).keys[u]; k != nil {
			p.mu.Unlock()
			return k.auth
		}
	}
	p.mu.Unlock()
	return u.authKey(id)
}

// privKey is the same for privacy. Call it only for an authentic message.
func (p *peers) privKey(id string, u *user) []byte {
	p.mu.Lock()
	e := p.touch(id)
	k := e.keys[u]
	if k == nil {
		k = &keys{auth: u.authKey(id)}
		e.keys[u] = k
	}
	priv := k.priv
	p.mu.Unlock()
	if priv != nil {
		return priv
	}
	priv = u.privKey(id) // may take milliseconds: not under the lock
	p.mu.Lock()
	k.priv = priv
	p.mu.Unlock()
	return priv
}

// fresh takes an authentic message's clock in, and says whether it is in the
// time window: not from an earlier start of its engine, and not older than 150
// seconds by what the engine's clock must be by now.
func (p *peers) fresh(id string, u *user, authKey []byte, boots, seconds uint32, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.touch(id)
	if e.keys[u] == nil {
		e.keys[u] = &keys{auth: authKey}
	}
	if !e.known || boots > e.boots || boots == e.boots && seconds > e.seconds {
		e.known, e.boots, e.seconds, e.at = true, boots, seconds, now
	}
	if e.boots == maxBoots || boots < e.boots {
		return false
	}
	estimate := int64(e.seconds) + int64(now.Sub(e.at)/time.Second)
	return int64(seconds) >= estimate-timeWindow
}

// touch finds or makes an engine and makes it the last used. Hold mu.
func (p *peers) touch(id string) *peer {
	if e := p.byID[id]; e != nil {
		p.recent.MoveToFront(e)
		return e.Value.(*peer)
	}
	if p.recent.Len() >= p.limit {
		oldest := p.recent.Back()
		delete(p.byID, oldest.Value.(*peer).id)
		p.recent.Remove(oldest)
	}
	e := &peer{id: id, keys: map[*user]*keys{}}
	p.byID[id] = p.recent.PushFront(e)
	return e
}
