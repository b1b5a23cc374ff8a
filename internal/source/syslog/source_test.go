package syslog

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

const within = 10 * time.Second

// places gives the address of each listener once it is there.
type places struct {
	mu sync.Mutex
	at map[string]string
	ch chan struct{}
}

func (p *places) tell(network, address string) {
	p.mu.Lock()
	p.at[network] = address
	close(p.ch)
	p.ch = make(chan struct{})
	p.mu.Unlock()
}

func (p *places) wait(network string) string {
	for end := time.After(within); ; {
		p.mu.Lock()
		at, ch := p.at[network], p.ch
		p.mu.Unlock()
		if at != "" {
			return at
		}
		select {
		case <-ch:
		case <-end:
			return "no listener for " + network
		}
	}
}

// sender is a device that speaks one transport. It dials when it first sends.
type sender struct {
	t       *testing.T
	network string
	places  *places
	tls     *tls.Config
	counted bool

	conn net.Conn
}

func (s *sender) dial() net.Conn {
	if s.conn != nil {
		return s.conn
	}
	at := s.places.wait(s.network)
	var err error
	switch s.network {
	case "tls":
		s.conn, err = tls.Dial("tcp", at, s.tls)
	default:
		s.conn, err = net.Dial(s.network, at)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return s.conn
}

func (s *sender) Send(payload []byte) {
	c := s.dial()
	switch {
	case s.network == "udp":
	case s.counted:
		payload = fmt.Appendf(nil, "%d %s", len(payload), payload)
	default:
		payload = append(bytes.Clone(payload), '\n')
	}
	if _, err := c.Write(payload); err != nil {
		s.t.Errorf("send by %s: %v", s.network, err)
	}
}

func (s *sender) Acked() int { return 0 }

func (s *sender) Close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

func line(marker string) []byte {
	return fmt.Appendf(nil, "<189>45: %s: Nov 24 10:00:00.123 CET: %%LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down", marker)
}

// setUp makes a source on loopback ports that the system chooses.
func setUp(t *testing.T, env source.Env, change func(*Config)) (*Source, *places) {
	t.Helper()
	p := &places{at: map[string]string{}, ch: make(chan struct{})}
	env.Listening = p.tell
	cfg := DefaultConfig()
	change(&cfg)
	s, err := build(env, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

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

// running is a source at work for one test.
type running struct {
	log      *sourcetest.Log
	counters *sourcetest.Counters
	health   *sourcetest.Health
	places   *places
	stop     func()
}

func start(t *testing.T, change func(*Config)) *running {
	t.Helper()
	return startWith(t, change, func(*Source) {})
}

func startWith(t *testing.T, change func(*Config), adjust func(*Source)) *running {
	t.Helper()
	r := &running{log: &sourcetest.Log{}, counters: &sourcetest.Counters{}, health: &sourcetest.Health{}}
	env := source.Env{Name: "campus", Counters: r.counters, Health: r.health.Set}
	s, p := setUp(t, env, change)
	adjust(s)
	r.places = p
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx, r.log.Emit) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			r.log.Release()
			select {
			case err := <-end:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(within):
				t.Error("Run did not return")
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

func (r *running) durable() (out []string) {
	for _, in := range r.log.Durable() {
		out = append(out, string(in.Raw))
	}
	return out
}

func (r *running) wait(t *testing.T, n int) []string {
	t.Helper()
	sourcetest.Wait(t, within, fmt.Sprintf("%d messages in the log", n), func() bool { return len(r.log.Durable()) >= n })
	return r.durable()
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
	last := r.log.Durable()[2]
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
	if r.log.Durable()[0].Meta["truncated"] == "" || r.log.Durable()[1].Meta != nil {
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
			all := strings.Join(r.wait(t, 50), "\n")
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

func TestTLSRefusesStrangers(t *testing.T) {
	files := certificates(t)
	r := start(t, func(c *Config) {
		c.TLS = &TLSConfig{Listen: "127.0.0.1:0", Cert: files.cert, Key: files.key, ClientCA: files.ca}
	})
	at := r.places.wait("tls")
	for name, cfg := range map[string]*tls.Config{
		"no certificate": {RootCAs: files.client.RootCAs, ServerName: "127.0.0.1"},
		"TLS 1.1":        {RootCAs: files.client.RootCAs, Certificates: files.client.Certificates, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
	} {
		c, err := tls.Dial("tcp", at, cfg)
		if err == nil {
			// In TLS 1.3 the server's no comes with the first read.
			_, _ = c.Write([]byte("<13>stranger\n"))
			_ = c.SetReadDeadline(time.Now().Add(within))
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: let in (%v)", name, err)
		}
	}
	plain := &sender{t: t, network: "tcp", places: &places{at: map[string]string{"tcp": at}, ch: make(chan struct{})}}
	plain.Send([]byte("<13>plain text to a TLS port"))
	plain.Close()
	good := &sender{t: t, network: "tls", places: r.places, tls: files.client}
	defer good.Close()
	good.Send([]byte("<13>friend"))
	if got := r.wait(t, 1); len(got) != 1 || got[0] != "<13>friend" {
		t.Errorf("got %q", got)
	}
}

func TestRenewedCertificateIsTaken(t *testing.T) {
	one, two := certificates(t), certificates(t)
	r := start(t, func(c *Config) { c.TLS = &TLSConfig{Listen: "127.0.0.1:0", Cert: one.cert, Key: one.key} })
	at := r.places.wait("tls")
	for from, to := range map[string]string{two.cert: one.cert, two.key: one.key} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(to, later, later); err != nil {
			t.Fatal(err)
		}
	}
	sourcetest.Wait(t, within, "the new certificate is shown", func() bool {
		c, err := tls.Dial("tcp", at, &tls.Config{RootCAs: two.client.RootCAs})
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
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

// pki is a CA, a server's pair and a client's configuration.
type pki struct {
	ca, cert, key string
	client        *tls.Config
}

func certificates(t *testing.T) pki {
	t.Helper()
	dir := t.TempDir()
	p := pki{ca: filepath.Join(dir, "ca.crt"), cert: filepath.Join(dir, "server.crt"), key: filepath.Join(dir, "server.key")}
	caKey, caCert := issue(t, nil, nil, "ca", p.ca, "")
	issue(t, caCert, caKey, "server", p.cert, p.key)
	issue(t, caCert, caKey, "client", filepath.Join(dir, "c.crt"), filepath.Join(dir, "c.key"))
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "c.crt"), filepath.Join(dir, "c.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(caCert)
	p.client = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
	return p
}

func issue(t *testing.T, ca *x509.Certificate, caKey *ecdsa.PrivateKey, name, certFile, keyFile string) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ca == nil {
		tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
		ca, caKey = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, kind string, der []byte) {
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(certFile, "CERTIFICATE", der)
	if keyFile != "" {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(keyFile, "PRIVATE KEY", der)
	}
	return key, cert
}
