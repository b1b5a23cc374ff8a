package snmp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/internal/normalize"
	"signalbox/internal/normalize/trap"
	"signalbox/internal/secret"
	"signalbox/internal/source"
)

// books counts what a source counts.
type books struct {
	mu       sync.Mutex
	received int
	refused  map[string]int
	drops    uint64
	changed  chan struct{}
}

func newBooks() *books { return &books{refused: map[string]int{}, changed: make(chan struct{}, 1)} }

func (b *books) touch(f func()) {
	b.mu.Lock()
	f()
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}
func (b *books) Received(n int)            { b.touch(func() { b.received += n }) }
func (b *books) Refused(why string, n int) { b.touch(func() { b.refused[why] += n }) }
func (b *books) KernelDrops(total uint64)  { b.touch(func() { b.drops = total }) }
func (b *books) Unparsed(string)           {}

func (b *books) count(why string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused[why]
}

// await waits until f holds.
func (b *books) await(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !f() {
		select {
		case <-b.changed:
		case <-deadline:
			t.Fatalf("waited in vain for %s; refused: %v", what, b.refused)
		}
	}
}

// taken is one message that a source handed over.
type taken struct {
	in   normalize.Input
	done func(error)
}

// running is a source under test.
type running struct {
	*books
	addr string
	got  chan taken
	src  *Source
	stop func()
}

// start runs a source. With hold, its messages are in the log only when the
// test calls done; else at once.
func start(t *testing.T, cfg Config, hold bool) *running {
	t.Helper()
	r := &running{books: newBooks(), got: make(chan taken, 1024)}
	listening := make(chan string, 4)
	if len(cfg.Listen) == 0 {
		cfg.Listen = Addresses{"127.0.0.1:0"}
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	src, err := New(source.Env{
		Name: "traps", Log: slog.New(slog.DiscardHandler), Counters: r.books,
		Listening: func(_, addr string) { listening <- addr },
	}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.src = src.(*Source)
	emit := func(_ context.Context, batch []normalize.Input, done func([]source.Receipt)) error {
		receipts := make([]source.Receipt, len(batch))
		left := sync.WaitGroup{}
		left.Add(len(batch))
		for i, in := range batch {
			finish := func(err error) { receipts[i].Err = err; left.Done() }
			r.got <- taken{in, finish}
			if !hold {
				finish(nil)
			}
		}
		go func() { left.Wait(); done(receipts) }()
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- src.Run(ctx, emit) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(r.stop)
	select {
	case r.addr = <-listening:
	case err := <-ended:
		t.Fatalf("Run ended: %v", err)
	case <-time.After(5 * time.Second):
		t.Fatal("does not listen")
	}
	return r
}

func (r *running) next(t *testing.T) taken {
	t.Helper()
	select {
	case g := <-r.got:
		return g
	case <-time.After(30 * time.Second):
		r.mu.Lock()
		defer r.mu.Unlock()
		t.Fatalf("no message; refused: %v", r.refused)
		return taken{}
	}
}

// netSNMP runs a command of Debian's package snmp.
func netSNMP(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian: apt-get install snmp)", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"MIBS=", "SNMPCONFPATH=" + t.TempDir(), "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// linkDown is a v2c or v3 linkDown of interface 3 as arguments of snmptrap.
var linkDown = []string{"1234", "1.3.6.1.6.3.1.1.5.3",
	"1.3.6.1.2.1.2.2.1.1.3", "i", "3",
	"1.3.6.1.2.1.2.2.1.2.3", "s", "GigabitEthernet0/3",
	"1.3.6.1.2.1.2.2.1.8.3", "i", "2"}

func parsed(t *testing.T, in normalize.Input) *trap.Trap {
	t.Helper()
	tr, err := trap.Parse(in.Raw)
	if err != nil {
		t.Fatalf("what is kept cannot be read: %v: %x", err, in.Raw)
	}
	return tr
}

func checkLinkDown(t *testing.T, in normalize.Input) {
	t.Helper()
	tr := parsed(t, in)
	if tr.Name != "linkDown" || tr.Get("ifDescr") == nil || tr.Get("ifDescr").Text != "GigabitEthernet0/3" {
		t.Errorf("got %+v", tr)
	}
	if in.Form != normalize.SNMP || in.Source != "traps" {
		t.Errorf("form %q source %q", in.Form, in.Source)
	}
}

func TestCommunities(t *testing.T) {
	t.Parallel()
	r := start(t, Config{Communities: []secret.Ref{secret.New("canary-7f1e"), secret.New("second")}}, false)
	for _, v := range []string{"-v1", "-v2c"} {
		args := append([]string{v, "-c", "canary-7f1e", r.addr}, linkDown...)
		if v == "-v1" {
			args = append([]string{v, "-c", "canary-7f1e", r.addr, "1.3.6.1.4.1.9.1.1", "192.0.2.77", "2", "0", "1234"}, linkDown[2:]...)
		}
		if out, err := netSNMP(t, "snmptrap", args...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		g := r.next(t)
		checkLinkDown(t, g.in)
		if strings.Contains(string(g.in.Raw), "canary") || strings.Contains(fmt.Sprint(g.in.Meta), "canary") {
			t.Errorf("the community is in what is kept: %q %v", g.in.Raw, g.in.Meta)
		}
		if g.in.Meta["snmp_version"] != v[2:] || g.in.SenderID != "" {
			t.Errorf("meta %v, sender id %q", g.in.Meta, g.in.SenderID)
		}
		if tr := parsed(t, g.in); v == "-v1" && tr.AgentAddress != "192.0.2.77" {
			t.Errorf("agent address %q", tr.AgentAddress)
		}
	}
	for _, c := range []string{"public", "canary-7f1", "canary-7f1e ", ""} {
		_, _ = netSNMP(t, "snmptrap", append([]string{"-v2c", "-c", c, r.addr}, linkDown...)...)
	}
	r.await(t, "refusals", func() bool { return r.count("auth") >= 3 })
	select {
	case g := <-r.got:
		t.Errorf("taken with a wrong community: %q", g.in.Raw)
	default:
	}
}

// v3User is a user of the tests, and the arguments with which net-snmp is it.
func v3User(auth, priv string) (User, []string) {
	u := User{Name: "u" + auth + priv}
	args := []string{"-v3", "-u", u.Name, "-l", "noAuthNoPriv"}
	if auth != "" {
		u.Auth = Protocol{auth, secret.New("auth-canary-1")}
		args = append(args, "-a", map[string]string{"MD5": "MD5", "SHA": "SHA", "SHA224": "SHA-224", "SHA256": "SHA-256", "SHA384": "SHA-384", "SHA512": "SHA-512"}[auth], "-A", "auth-canary-1")
		args[4] = "authNoPriv"
	} else {
		u.Level = "noAuthNoPriv"
	}
	if priv != "" {
		u.Priv = Protocol{priv, secret.New("priv-canary-1")}
		args = append(args, "-x", map[string]string{"DES": "DES", "AES": "AES", "AES192": "AES-192", "AES256": "AES-256", "AES192C": "AES-192-C", "AES256C": "AES-256-C"}[priv], "-X", "priv-canary-1")
		args[4] = "authPriv"
	}
	return u, args
}

const senderEngine = "0x8000000001020304"

func TestV3Matrix(t *testing.T) {
	t.Parallel()
	var users []User
	var all [][]string
	for _, auth := range []string{"", "MD5", "SHA", "SHA224", "SHA256", "SHA384", "SHA512"} {
		for _, priv := range []string{"", "DES", "AES", "AES192", "AES256", "AES192C", "AES256C"} {
			if auth == "" && priv != "" {
				continue
			}
			u, args := v3User(auth, priv)
			users, all = append(users, u), append(all, args)
		}
	}
	r := start(t, Config{Users: users}, false)
	skipped := 0
	for i, args := range all {
		before := r.count("auth") + r.count("malformed")
		out, err := netSNMP(t, "snmptrap", append(append([]string{"-e", senderEngine}, append(args, r.addr)...), linkDown...)...)
		if err != nil && (strings.Contains(out, "Invalid privacy protocol") || strings.Contains(out, "Invalid authentication protocol")) {
			skipped++
			continue
		}
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		g := r.next(t)
		checkLinkDown(t, g.in)
		if g.in.Meta["snmp_user"] != users[i].Name || g.in.Meta["snmp_version"] != "3" {
			t.Errorf("%s: meta %v", users[i].Name, g.in.Meta)
		}
		if r.count("auth")+r.count("malformed") != before {
			t.Errorf("%v: counted as refused too", args)
		}
		// The inform: discovery, time, response.
		out, err = netSNMP(t, "snmpinform", append(append(append([]string{"-r", "1", "-t", "3"}, args...), r.addr), linkDown...)...)
		if err != nil {
			t.Errorf("inform %v: %v: %s", args, err, out)
			continue
		}
		g = r.next(t)
		checkLinkDown(t, g.in)
		if g.in.SenderID == "" || !parsed(t, g.in).Inform {
			t.Errorf("%s: inform has sender id %q", users[i].Name, g.in.SenderID)
		}
	}
	t.Logf("%d combinations, %d of them not known to this net-snmp", len(all), skipped)
}

// TestLevels sends with every level as every user: nothing weaker than the
// user's level may come in.
func TestLevels(t *testing.T) {
	t.Parallel()
	levels := []string{"noAuthNoPriv", "authNoPriv", "authPriv"}
	var users []User
	for i, l := range levels {
		u, _ := v3User([]string{"", "SHA", "SHA"}[i], []string{"", "", "AES"}[i])
		u.Name, u.Level = "user-"+l, l
		users = append(users, u)
	}
	both, _ := v3User("SHA", "AES")
	both.Name, both.Level = "either", "authNoPriv"
	users = append(users, both)
	r := start(t, Config{Users: users}, false)
	for _, u := range users {
		for i, l := range levels {
			args := []string{"-e", senderEngine, "-v3", "-u", u.Name, "-l", l, "-a", "SHA", "-A", "auth-canary-1", "-x", "AES", "-X", "priv-canary-1", r.addr}
			before := r.count("level")
			if out, err := netSNMP(t, "snmptrap", append(args, linkDown...)...); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want := u.Level == l || u.Name == "either" && i >= 1
			if want {
				checkLinkDown(t, r.next(t).in)
				continue
			}
			r.await(t, u.Name+" refused at "+l, func() bool { return r.count("level") == before+1 })
		}
	}
	if len(r.got) != 0 {
		t.Errorf("%d messages more than may come in", len(r.got))
	}
}

func TestWrongSecrets(t *testing.T) {
	t.Parallel()
	u, args := v3User("SHA256", "AES")
	pinned, pinnedArgs := v3User("SHA", "")
	pinned.EngineID = "0x8000000009090909"
	r := start(t, Config{Users: []User{u, pinned}}, false)
	with := func(args []string, from, to string) []string {
		out := append([]string{"-e", senderEngine}, args...)
		for i := range out {
			if out[i] == from {
				out[i] = to
			}
		}
		return append(append(out, r.addr), linkDown...)
	}
	for i, a := range [][]string{
		with(args, "auth-canary-1", "auth-canary-2"),
		with(args, "priv-canary-1", "priv-canary-2"),
		with(args, u.Name, "nobody"),
		with(args, "SHA-256", "SHA-512"),
		with(pinnedArgs, "", ""), // from an engine that is not the user's
	} {
		if out, err := netSNMP(t, "snmptrap", a...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		r.await(t, fmt.Sprintf("refusal %d", i), func() bool { return r.count("auth") == i+1 })
	}
	if _, err := netSNMP(t, "snmptrap", with(pinnedArgs, senderEngine, pinned.EngineID)...); err != nil {
		t.Fatal(err)
	}
	checkLinkDown(t, r.next(t).in)
	out, err := netSNMP(t, "snmpinform", append([]string{"-r", "0", "-t", "2"}, with(args, "auth-canary-1", "auth-canary-2")[2:]...)...)
	if err == nil || !strings.Contains(out, "Authentication failure") {
		t.Errorf("an inform with a wrong secret: %v: %s", err, out)
	}
	if len(r.got) != 0 {
		t.Errorf("%d messages came in", len(r.got))
	}
}

// TestInformWaitsForLog: no answer before the log has it, none when it has not,
// and a repetition meanwhile is not handed over again.
func TestInformWaitsForLog(t *testing.T) {
	u, v3 := v3User("SHA", "AES")
	for name, args := range map[string][]string{"v2c": {"-v2c", "-c", "public"}, "v3": v3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Config{Communities: []secret.Ref{secret.New("public")}, Users: []User{u}}, true)
			send := func(retries string) chan error {
				got := make(chan error, 1)
				go func() {
					out, err := netSNMP(t, "snmpinform", append(append(append([]string{"-r", retries, "-t", "1"}, args...), r.addr), linkDown...)...)
					if err != nil {
						err = errors.New(out)
					}
					got <- err
				}()
				return got
			}
			answered := send("5")
			g := r.next(t)
			r.await(t, "a repetition", func() bool { return r.count("repeated") >= 1 })
			select {
			case err := <-answered:
				t.Fatalf("answered before it was logged: %v", err)
			default:
			}
			g.done(nil)
			if err := <-answered; err != nil {
				t.Fatalf("not answered after it was logged: %v", err)
			}
			if len(r.got) != 0 {
				t.Errorf("handed over %d times more", len(r.got))
			}
			answered = send("0")
			r.next(t).done(source.ErrUnavailable)
			if err := <-answered; err == nil {
				t.Error("answered though the log did not take it")
			}
		})
	}
}
