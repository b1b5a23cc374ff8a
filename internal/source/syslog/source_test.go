package syslog

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

func TestSuite(t *testing.T) {
	files := certificates(t)
	for _, tt := range []struct {
		name, network string
		counted       bool
		config        func(*Config)
	}{
		{"udp", "udp", false, func(c *Config) { c.UDP = "127.0.0.1:0" }},
		{"udp6", "udp", false, func(c *Config) { c.UDP = "[::1]:0" }},
		{"tcp, lines", "tcp", false, func(c *Config) { c.TCP = "127.0.0.1:0" }},
		{"tcp, counted", "tcp", true, func(c *Config) { c.TCP = "127.0.0.1:0" }},
		{"tls", "tls", true, func(c *Config) {
			c.TLS = &TLSConfig{Listen: "127.0.0.1:0", Cert: files.cert, Key: files.key, ClientCA: files.ca}
		}},
		{"tls on tcp", "tls", false, func(c *Config) {
			c.TCP, c.TLS = "127.0.0.1:0", &TLSConfig{Cert: files.cert, Key: files.key}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "udp6" && !hasIPv6() {
				t.Skip("no IPv6 on this machine")
			}
			sourcetest.Run(t, sourcetest.Harness{
				Payload:        func(m string) []byte { return line(m) },
				Unacknowledged: true,
				Start: func(t *testing.T, env source.Env) (source.Source, sourcetest.Peer) {
					s, p := setUp(t, env, tt.config)
					return s, &sender{t: t, network: tt.network, places: p, tls: files.client, counted: tt.counted}
				},
			})
		})
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		_ = l.Close()
	}
	return err == nil
}

func tcp(c *Config)   { c.TCP = "127.0.0.1:0" }
func dgram(c *Config) { c.UDP = "127.0.0.1:0" }

func TestDatagramIsOneMessage(t *testing.T) {
	r := start(t, func(c *Config) { dgram(c); c.MaxBytes = 480 })
	s := &sender{t: t, network: "udp", places: r.places}
	defer s.Close()
	s.Send([]byte("<13>two\nlines\x00"))
	s.Send(nil)
	s.Send([]byte("\x00\xff\xfe garbage"))
	s.Send(bytes.Repeat([]byte("x"), 2000))
	got := r.wait(t, 3)
	if got[0] != "<13>two\nlines\x00" || got[1] != "\x00\xff\xfe garbage" {
		t.Errorf("got %q", got[:2])
	}
	last := r.log.Seen()[2]
	if len(last.Raw) != 480 || last.Meta["truncated"] == "" {
		t.Errorf("too long a datagram: %d bytes kept, meta %v", len(last.Raw), last.Meta)
	}
	if last.Peer != s.conn.LocalAddr().String() || last.Form != normalize.Syslog || last.Source != "campus" {
		t.Errorf("input %+v", last)
	}
}

func TestTooLongIsCutAndMarked(t *testing.T) {
	r := start(t, func(c *Config) { tcp(c); c.MaxBytes = 480 })
	s := &sender{t: t, network: "tcp", places: r.places}
	defer s.Close()
	s.Send(append([]byte("<13>"), bytes.Repeat([]byte("x"), 500_000)...))
	s.Send([]byte("<13>after"))
	got := r.wait(t, 2)
	if len(got[0]) != 480 || got[1] != "<13>after" {
		t.Errorf("%d bytes, then %q", len(got[0]), got[1])
	}
	if r.log.Seen()[0].Meta["truncated"] == "" || r.log.Seen()[1].Meta != nil {
		t.Error("the mark is missing, or on the wrong message")
	}
}

// A sender that stops in the middle of a message holds up nobody, and what it
// sent is kept when it goes.
func TestSlowSender(t *testing.T) {
	r := start(t, tcp)
	slow := &sender{t: t, network: "tcp", places: r.places}
	if _, err := slow.dial().Write([]byte("5000 <13>never ends")); err != nil {
		t.Fatal(err)
	}
	other := &sender{t: t, network: "tcp", places: r.places}
	defer other.Close()
	other.Send([]byte("<13>other"))
	if got := r.wait(t, 1); got[0] != "<13>other" {
		t.Errorf("got %q", got)
	}
	slow.Close()
	if got := r.wait(t, 2); got[1] != "<13>never ends" {
		t.Errorf("got %q", got)
	}
}

// While the log is behind, a sender over TCP is stopped by its own transport,
// memory does not grow, and everything comes in the end, in order.
func TestBackpressure(t *testing.T) {
	const n = 20_000
	r := start(t, tcp)
	r.log.FailNext(1<<30, source.ErrBusy)
	s := &sender{t: t, network: "tcp", places: r.places}
	defer s.Close()
	var sent sync.WaitGroup
	sent.Go(func() {
		for i := range n {
			s.Send(line(sourcetest.Marker(i)))
		}
	})
	sourcetest.Wait(t, within, "the source says that the log is busy", func() bool { return errors.Is(r.health.Err(), source.ErrBusy) })
	r.log.FailNext(0, nil)
	r.wait(t, n)
	sent.Wait()
	for i, in := range r.log.Seen() {
		if !bytes.Contains(in.Raw, []byte(sourcetest.Marker(i))) {
			t.Fatalf("message %d is %q", i, in.Raw)
		}
	}
	if _, refused := r.counters.Totals(); refused != 0 {
		t.Errorf("%d refused", refused)
	}
	sourcetest.Wait(t, within, "the source says that all is well", func() bool { return r.health.Err() == nil })
}

// A batch that the log may not have is sent again, since the device cannot.
func TestLostAnswerIsSentAgain(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			r := start(t, func(c *Config) { tcp(c); dgram(c) })
			r.log.LoseNext(3, source.ErrUnavailable)
			s := &sender{t: t, network: network, places: r.places}
			defer s.Close()
			for i := range 50 {
				s.Send(line(sourcetest.Marker(i)))
			}
			r.wait(t, 50)
			all := strings.Join(r.durable(), "\n")
			for i := range 50 {
				if !strings.Contains(all, sourcetest.Marker(i)) {
					t.Errorf("message %d is lost", i)
				}
			}
			sourcetest.Wait(t, within, "the source says that all is well", func() bool { return r.health.Err() == nil })
		})
	}
}

// A log that stays away costs datagrams; they are counted.
func TestDatagramsAreGivenUpAndCounted(t *testing.T) {
	r := startWith(t, dgram, func(s *Source) { s.holdUDP = 10 * time.Millisecond })
	r.log.FailNext(1<<30, source.ErrUnavailable)
	s := &sender{t: t, network: "udp", places: r.places}
	defer s.Close()
	s.Send([]byte("<13>lost"))
	sourcetest.Wait(t, within, "the datagram is counted", func() bool { return r.counters.RefusedFor("unavailable") == 1 })
	r.log.FailNext(0, nil)
	s.Send([]byte("<13>kept"))
	if got := r.wait(t, 1); got[0] != "<13>kept" {
		t.Errorf("got %q", got)
	}
}

// dropCounter keeps what the kernel is said to have dropped.
type dropCounter struct {
	sourcetest.Counters
	mu    sync.Mutex
	total uint64
}

func (d *dropCounter) KernelDrops(total uint64) { d.mu.Lock(); d.total = total; d.mu.Unlock() }

// What the kernel drops is in the books: sent = received + dropped.
func TestKernelDrops(t *testing.T) {
	const n = 20_000
	d := &dropCounter{}
	s, p := setUp(t, source.Env{Name: "campus", Counters: d}, func(c *Config) { dgram(c); c.ReadBuffer = 4096 })
	s.pollDrops = time.Millisecond
	log := &sourcetest.Log{}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx, log.Emit) }()
	dev := &sender{t: t, network: "udp", places: p}
	for i := range n {
		dev.Send(line(sourcetest.Marker(i)))
	}
	cancel()
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	dev.Close()
	received, refused := d.Totals()
	t.Logf("sent %d, received %d, dropped %d", n, received, d.total)
	if d.total == 0 {
		t.Skip("the kernel dropped nothing here: the buffer held it all")
	}
	if received+int(d.total) != n || refused != 0 {
		t.Errorf("sent %d, received %d, dropped %d, refused %d", n, received, d.total, refused)
	}
}

func TestConnectionFlood(t *testing.T) {
	r := start(t, func(c *Config) { tcp(c); c.MaxConnectionsPerPeer = 4 })
	at := r.places.wait("tcp")
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	turnedAway := 0
	for range 50 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns[4:] {
		_ = c.SetReadDeadline(time.Now().Add(within))
		if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			turnedAway++
		}
	}
	if turnedAway != 46 {
		t.Errorf("%d of 46 turned away", turnedAway)
	}
	if _, err := conns[0].Write([]byte("<13>well\n")); err != nil {
		t.Fatal(err)
	}
	r.wait(t, 1)
	// Who leaves makes room.
	_ = conns[1].Close()
	sourcetest.Wait(t, within, "a new connection is let in", func() bool {
		c, err := net.Dial("tcp", at)
		if err != nil {
			return false
		}
		defer c.Close()
		_, _ = c.Write([]byte("<13>again\n"))
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err = c.Read(make([]byte, 1))
		return errors.Is(err, os.ErrDeadlineExceeded)
	})
}

func TestIdleConnectionIsClosed(t *testing.T) {
	r := start(t, func(c *Config) { tcp(c); c.IdleTimeout = 20 * time.Millisecond })
	c, err := net.Dial("tcp", r.places.wait("tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("<13>unfinished"))
	_ = c.SetReadDeadline(time.Now().Add(within))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the idle connection is still open: %v", err)
	}
	if got := r.wait(t, 1); got[0] != "<13>unfinished" {
		t.Errorf("got %q", got)
	}
}

// What was sent before a stop is in the log after it.
func TestStopReadsWhatIsThere(t *testing.T) {
	const n = 5000
	r := start(t, func(c *Config) { tcp(c); dgram(c) })
	stream := &sender{t: t, network: "tcp", places: r.places}
	defer stream.Close()
	stream.Send(line("first"))
	r.wait(t, 1)
	for i := range n {
		stream.Send(line(sourcetest.Marker(i)))
	}
	r.stop()
	if got := len(r.durable()); got != n+1 {
		t.Errorf("%d of %d in the log", got, n+1)
	}
}

// TestLogger sends with the logger(1) of util-linux.
func TestLogger(t *testing.T) {
	logger, err := exec.LookPath("logger")
	if err != nil {
		t.Skip("no logger(1) on this machine")
	}
	r := start(t, func(c *Config) { tcp(c); dgram(c) })
	n := 0
	for _, network := range []string{"udp", "tcp"} {
		_, port, _ := net.SplitHostPort(r.places.wait(network))
		for _, how := range [][]string{{"--rfc3164"}, {"--rfc5424"}, {"--rfc5424", "--octet-count"}} {
			if network == "udp" && len(how) > 1 {
				continue
			}
			args := append([]string{"--server", "127.0.0.1", "--port", port, "--" + network, "--priority", "local7.notice", "--tag", "probe"}, how...)
			if out, err := exec.Command(logger, append(args, "link down")...).CombinedOutput(); err != nil {
				t.Fatalf("logger %v: %v: %s", args, err, out)
			}
			n++
		}
	}
	for _, m := range r.wait(t, n) {
		if !strings.HasPrefix(m, "<189>") || !strings.HasSuffix(m, "link down") {
			t.Errorf("got %q", m)
		}
	}
}

func TestValidate(t *testing.T) {
	c := Config{UDP: "nowhere", TLS: &TLSConfig{}, MaxBytes: 10, ReadBuffer: -1, IdleTimeout: -1}
	err := c.Validate()
	if err == nil {
		t.Fatal("nothing wrong with it?")
	}
	for _, want := range []string{"udp:", "tls: nothing", "tls.cert", "tls.key", "max_bytes: 10", "read_buffer", "idle_timeout", "max_connections:", "max_connections_per_peer"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told in:\n%v", want, err)
		}
	}
	if err := DefaultConfig().Validate(); err == nil || !strings.Contains(err.Error(), "nothing to listen on") {
		t.Errorf("a source without a listener: %v", err)
	}
	good := DefaultConfig()
	good.UDP = ":5514"
	if err := good.Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	if _, err := New(source.Env{}, Config{}); err == nil {
		t.Error("New takes a configuration that is not valid")
	}
	good.TLS = &TLSConfig{Listen: ":6514", Cert: "missing.crt", Key: "missing.key"}
	if _, err := New(source.Env{Dir: t.TempDir()}, good); err == nil || !strings.Contains(err.Error(), "missing.crt") {
		t.Errorf("a missing certificate: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, _ := setUp(t, source.Env{Counters: &sourcetest.Counters{}}, func(c *Config) { dgram(c); c.TCP = l.Addr().String() })
	log := &sourcetest.Log{}
	if err := s.Run(t.Context(), log.Emit); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("Run on a port in use: %v", err)
	}
}
