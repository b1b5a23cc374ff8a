// Package normalize turns what peers send into typed events.
//
// A message comes in as its protocol delivered it (Input) and goes out as an
// event whose type, device, interface and data rules can ask for (Result). What
// a vendor's message means is not in the code but in mappings: YAML files whose
// language packs/mappings/README.md describes, and of which users add their
// own.
//
// The package is pure: the same Input, mappings, event types and inventory give
// the same Result, so the log can be mapped again years later. Nothing here
// panics, blocks or drops a message, whatever its bytes: what no mapping takes
// becomes a syslog_message, an snmp_trap or a webhook.
package normalize

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"signalbox/event"
	"signalbox/internal/normalize/syslogmsg"
	"signalbox/internal/normalize/trap"
	"signalbox/internal/schema"
	"signalbox/packs"
)

// DeviceNamer knows the inventory.
type DeviceNamer interface {
	// Device is the inventory's name of the device that calls itself hostname
	// or has the address addr; either may be "". It returns "" where the
	// inventory does not know the device. It is called by many goroutines at
	// once, for every message.
	Device(hostname, addr string) string
}

// Options are what a Normalizer is made of. The zero value gives one with the
// built-in mappings and event types.
type Options struct {
	Packs     fs.FS    // built-in mappings; nil for those in the binary
	User      []fs.FS  // folders of users' mappings (*.yaml, *.yml), asked first
	UserDirs  []string // what to call those folders in messages; may be shorter
	Catalogue *schema.Catalogue
	Devices   DeviceNamer // nil: no inventory
	Names     *trap.Names // names of SNMP objects; nil for those in the binary
}

// Result is what became of a message.
type Result struct {
	// Event has all but its ID.
	Event event.Event
	// Reject is the reason why the event may not pass as one (its schema, or
	// no JSON); it is logged as rejected. "" where all is well. Field is the
	// field that is to blame ("data.interface"), where one is.
	Reject string
	Field  string
	// Mapped says that a mapping, or for payloads the default form, gave the
	// event its type. Why says why none did.
	Mapped bool
	Why    string
	// Unparsed says that the parser of the form could not make sense of all of
	// the message; it is to be counted by sender.
	Unparsed bool
}

// Normalizer holds the loaded mappings. It never changes once it is made, and
// is safe for many goroutines at once.
type Normalizer struct {
	cat      *schema.Catalogue
	devices  DeviceNamer
	names    *trap.Names
	layers   []*layer // the users' first
	mappings []*mapping
	bodies   map[string]bodyPlan // by what a source names as its mapping
	pool     sync.Pool
}

// layer is the index over one set of mappings.
type layer struct {
	tags map[string][]*mapping
	// prefixes are the tags that end in *. There are few; they are gone
	// through only where the table has nothing.
	prefixes []tagPrefix
	apps     map[string][]*mapping
	words    map[string][]*mapping
	traps    map[string][]*mapping
	groups   map[string][]*mapping // payload: by name before the dot
	keys     []keyedMappings
}

type tagPrefix struct {
	prefix   []byte // as tagKey writes it
	mappings []*mapping
}

// keyedMappings are the mappings that are found by one part of the message.
type keyedMappings struct {
	ref    ref
	values map[string][]*mapping
}

// New loads the mappings. The error joins every mistake in every file, each a
// *PosError (file:line:column).
func New(o Options) (*Normalizer, error) {
	if o.Packs == nil {
		o.Packs = packs.Mappings()
	}
	if o.Names == nil {
		o.Names = trap.Builtin()
	}
	if o.Catalogue == nil {
		var err error
		if o.Catalogue, err = schema.Load(); err != nil {
			return nil, err
		}
	}
	n := &Normalizer{cat: o.Catalogue, devices: o.Devices, names: o.Names}
	n.pool.New = func() any { return new(message) }
	builtin, errs := loadFolder(o.Packs, "", o.Catalogue)
	var users []*mapping
	for i, fsys := range o.User {
		dir := ""
		if i < len(o.UserDirs) {
			dir = o.UserDirs[i]
		}
		more, moreErrs := loadFolder(fsys, dir, o.Catalogue)
		users = append(users, more...)
		errs = append(errs, moreErrs...)
	}
	errs = append(errs, duplicates(builtin)...)
	errs = append(errs, duplicates(users)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	builtin = slices.DeleteFunc(builtin, func(b *mapping) bool {
		return slices.ContainsFunc(users, func(u *mapping) bool { return u.name == b.name })
	})
	for _, set := range [][]*mapping{users, builtin} {
		if len(set) > 0 {
			n.layers = append(n.layers, newLayer(set))
			n.mappings = append(n.mappings, set...)
		}
	}
	n.bodies = bodyPlans(n.mappings)
	return n, nil
}

func loadFolder(fsys fs.FS, dir string, cat *schema.Catalogue) (out []*mapping, errs []error) {
	var files []string
	for _, glob := range []string{"*.yaml", "*.yml"} {
		found, err := fs.Glob(fsys, glob)
		if err != nil {
			errs = append(errs, err)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	for _, file := range files {
		src, err := fs.ReadFile(fsys, file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r := &reader{file: path.Join(dir, file)}
		out = append(out, r.mappings(src, cat)...)
		errs = append(errs, r.errs...)
	}
	return out, errs
}

func duplicates(ms []*mapping) (errs []error) {
	seen := map[string]*mapping{}
	for _, m := range ms {
		if first, dup := seen[m.name]; dup {
			errs = append(errs, &PosError{m.file, m.node.Line, m.node.Column,
				fmt.Sprintf("mapping %q is there already, at %s:%d", m.name, first.file, first.node.Line)})
			continue
		}
		seen[m.name] = m
	}
	return errs
}

func newLayer(ms []*mapping) *layer {
	l := &layer{tags: map[string][]*mapping{}, apps: map[string][]*mapping{},
		words: map[string][]*mapping{}, traps: map[string][]*mapping{}, groups: map[string][]*mapping{}}
	add := func(index map[string][]*mapping, key string, m *mapping) {
		if !slices.Contains(index[key], m) {
			index[key] = append(index[key], m)
		}
	}
	for _, m := range ms {
		for _, t := range m.tags {
			l.addTag(t, m, add)
		}
		for _, a := range m.apps {
			add(l.apps, a, m)
		}
		for _, w := range m.words {
			add(l.words, w, m)
		}
		for _, t := range m.traps {
			add(l.traps, strings.TrimPrefix(t, "."), m)
		}
		if m.form == Payload {
			group, _, _ := strings.Cut(m.name, ".")
			add(l.groups, group, m)
		}
		for _, k := range m.keys {
			index := l.keyed(k.ref)
			for _, v := range k.values {
				add(index, v, m)
			}
		}
	}
	return l
}

func (l *layer) addTag(tag string, m *mapping, add func(map[string][]*mapping, string, *mapping)) {
	var buf [maxTag]byte
	start, wild := strings.CutSuffix(tag, "*")
	key := string(tagKey(buf[:0], start))
	if !wild {
		add(l.tags, key, m)
		return
	}
	for i := range l.prefixes {
		if p := &l.prefixes[i]; string(p.prefix) == key {
			p.mappings = append(p.mappings, m)
			return
		}
	}
	l.prefixes = append(l.prefixes, tagPrefix{[]byte(key), []*mapping{m}})
}

func (l *layer) keyed(r ref) map[string][]*mapping {
	for i := range l.keys {
		if l.keys[i].ref.src == r.src {
			return l.keys[i].values
		}
	}
	l.keys = append(l.keys, keyedMappings{r, map[string][]*mapping{}})
	return l.keys[len(l.keys)-1].values
}

// maxTag is the longest tag that is looked up.
const maxTag = 128

// tagKey takes the severity out of a tag, LINK-3-UPDOWN or IFNET/4/LINK_STATE,
// because devices let the operator change it; and with it the part of a Cisco
// chassis that speaks (LINK-SW1_SP-3-UPDOWN, SYSMGR-STANDBY-3-..), because the
// message is the same. Lower case becomes upper case: IOS-XR writes both. It
// writes to dst, so that a look-up needs no memory.
func tagKey(dst []byte, tag string) []byte {
	tag = tag[:min(len(tag), maxTag)]
	for i := 1; i+2 < len(tag); i++ {
		c := tag[i+1]
		if c < '0' || c > '7' || tag[i] != tag[i+2] || tag[i] != '-' && tag[i] != '/' {
			continue
		}
		facility := tag[:i]
		if j := strings.LastIndexByte(facility, '-'); j > 0 && isSubfacility(facility[j+1:]) {
			facility = facility[:j]
		}
		return appendUpper(appendUpper(dst, facility), tag[i+2:])
	}
	return appendUpper(dst, tag)
}

func appendUpper(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// isSubfacility knows the names that Cisco gives to parts of a chassis: SP,
// STDBY, SW1, SW2_SP, DFC3, SW2_DFC1.
func isSubfacility(s string) bool {
	switch s {
	case "SP", "STDBY", "STANDBY", "SPSTBY", "SW":
		return true
	}
	for _, p := range []string{"SW", "DFC"} {
		if rest, ok := strings.CutPrefix(s, p); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			return true
		}
	}
	return false
}

// message is one message under work, and what has been taken out of it.
type message struct {
	in     *Input
	sys    *syslogmsg.Message
	sysBuf syslogmsg.Message
	trap   *trap.Trap
	body   []byte // payload: the JSON object

	text string // what the captures are in
	caps [maxCaptures]span

	kv      []field
	kvDone  bool
	csv     []string
	csvDone bool
	out     []byte // data under work

	// trace, when set, is told about every mapping that is tried.
	trace func(m *mapping, why string)
}

func (n *Normalizer) take(in *Input) *message {
	m := n.pool.Get().(*message)
	m.in = in
	return m
}

// release forgets the message's bytes and keeps the buffers.
func (n *Normalizer) release(m *message) {
	clear(m.kv)
	*m = message{kv: m.kv[:0], out: m.out[:0]}
	if cap(m.out) > 64<<10 {
		m.out = nil
	}
	n.pool.Put(m)
}

// Normalize turns a message into an event. It never fails: see Result.
func (n *Normalizer) Normalize(in Input) Result {
	m := n.take(&in)
	defer n.release(m)
	return n.normalize(m)
}

func (n *Normalizer) normalize(m *message) Result {
	in := m.in
	res := Result{Event: event.Event{SenderID: in.SenderID, Source: in.Source, Peer: in.Peer, Received: in.Received,
		TraceParent: in.TraceParent, Raw: in.Raw, Meta: in.Meta}}
	switch in.Form {
	case Syslog:
		n.syslog(m, &res)
	case SNMP:
		n.snmp(m, &res)
	case Payload:
		n.payload(m, &res)
	default:
		res.Reject = fmt.Sprintf("no form of message %q", in.Form)
	}
	if res.Reject == "" {
		// Called directly: through a variable the event would be on the heap.
		var err error
		if in.Form == Payload {
			err = n.cat.Validate(&res.Event)
		} else { // all of whose data is written here
			err = n.cat.ValidateWritten(&res.Event)
		}
		if err != nil {
			res.Reject = err.Error()
			var field *schema.Error
			if errors.As(err, &field) {
				res.Field = field.Field
			}
		}
	}
	return res
}

// try applies one mapping; why is "" where it took the message.
func (n *Normalizer) try(mp *mapping, m *message, res *Result) bool {
	ok, why := mp.apply(n, m, res)
	if m.trace != nil {
		m.trace(mp, why)
	}
	if ok {
		res.Mapped = true
		res.Event.Mapping = mp.id
	}
	return ok
}

func (n *Normalizer) tryAll(ms []*mapping, m *message, res *Result) bool {
	for _, mp := range ms {
		if n.try(mp, m, res) {
			return true
		}
	}
	return false
}
