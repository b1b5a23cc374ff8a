// Package rabbitmq consumes events from a RabbitMQ queue (AMQP 0-9-1).
//
// A message is acknowledged once the log has all its events on disk; until then
// it is the broker's. Prefetch is the backpressure: while the log is behind,
// nothing more is taken. A broker that is away is no error: the source says so,
// connects again with growing pauses, makes its topology anew, and the broker
// delivers again what was not acknowledged.
//
// A message that cannot become events goes to a dead-letter exchange with the
// reason. AMQP's basic.nack has no room for one, so a copy with the header
// x-signalbox-reason is published there, confirmed by the broker, and only then
// the message is acknowledged. It never stands in the way of others.
package rabbitmq

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/internal/source"
)

// Source consumes one queue.
type Source struct {
	cfg Config
	env source.Env
	url string
	tls *tls.Config // nil for amqp://
	// external is set where our certificate says who we are, not a password.
	external bool
	// dialLimit bounds connecting, setUpLimit the broker's answers to queues,
	// bindings and consumer.
	dialLimit, setUpLimit time.Duration
}

// New makes a source. It resolves the URL and reads the TLS files, and connects
// to nothing.
func New(env source.Env, cfg Config) (*Source, error) {
	text, err := cfg.URL.Value()
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	uri, err := amqp.ParseURI(text)
	if err != nil { // its text may quote the password
		return nil, errors.New("url: is not of the form amqp://user:password@host:5672/vhost")
	}
	s := &Source{cfg: cfg.withDeadLetter(), env: env, url: text, dialLimit: 10 * time.Second, setUpLimit: 20 * time.Second}
	if cfg.Name == "" {
		s.cfg.Name = "signalbox/" + env.Name
	}
	if cfg.Vhost == "" {
		s.cfg.Vhost = uri.Vhost
	}
	if uri.Scheme != "amqps" {
		if cfg.TLS != (TLS{}) {
			return nil, errors.New("tls: needs an amqps:// URL; with amqp:// nothing is encrypted")
		}
		return s, nil
	}
	s.external = cfg.TLS.Cert != "" && uri.Username == "guest" && uri.Password == "guest"
	if s.tls, err = tlsConfig(cfg.TLS, env.Dir, uri.Host); err != nil {
		return nil, err
	}
	return s, nil
}

func tlsConfig(c TLS, dir, host string) (*tls.Config, error) {
	at := func(p string) string {
		if filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(dir, p)
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if c.ServerName != "" {
		out.ServerName = c.ServerName
	}
	if c.CA != "" {
		pem, err := os.ReadFile(at(c.CA))
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: no certificate in %s", at(c.CA))
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(at(c.Cert), at(c.Key))
		if err != nil {
			return nil, fmt.Errorf("tls.cert, tls.key: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

const (
	closeLimit = 5 * time.Second

	minPause = 100 * time.Millisecond
	maxPause = 15 * time.Second
	steady   = 10 * time.Second // a session this long begins the pauses anew
)

// Run consumes until ctx ends, then waits for the answers of the log,
// acknowledges, and closes the connection.
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	pause := minPause
	for ctx.Err() == nil {
		began := time.Now()
		err := s.session(ctx, emit)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > steady {
			pause = minPause
		}
		err = s.inWords(err)
		s.env.Health(err)
		s.env.Log.WarnContext(ctx, "rabbitmq away, connecting again", "queue", s.cfg.Queue, "pause", pause, "err", err)
		wait(ctx, pause/2+rand.N(pause)) // not all of us at the same moment
		pause = min(2*pause, maxPause)
	}
	return nil
}

// wait waits for d or ctx's end.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// link is a connection whose every wait can be ended: a broker may go on
// sending heartbeats and yet never answer a call (a quorum queue without a
// leader does that), and the library waits for ever.
type link struct {
	*amqp.Connection
	raw net.Conn
}

// close ends the connection in an orderly way, or after a while in the other.
func (l link) close() {
	defer l.limit(closeLimit)()
	_ = l.Close()
}

// limit ends the connection after d, unless the returned function is called
// before.
func (l link) limit(d time.Duration) (cancel func()) {
	t := time.AfterFunc(d, func() { _ = l.raw.Close() })
	return func() { t.Stop() }
}

// dial connects. When ctx ends it is given up at once.
func (s *Source) dial(ctx context.Context, name string) (l link, err error) {
	props := amqp.NewConnectionProperties()
	props.SetClientConnectionName(name)
	interrupt := func() bool { return true }
	cfg := amqp.Config{
		Vhost: s.cfg.Vhost, Heartbeat: s.cfg.Heartbeat, Properties: props, TLSClientConfig: s.tls, Locale: "en_US",
		Dial: func(network, addr string) (net.Conn, error) {
			d := net.Dialer{Timeout: s.dialLimit}
			conn, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			l.raw = conn
			interrupt = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
			// For the handshake; the library takes it back afterwards.
			return conn, conn.SetDeadline(time.Now().Add(s.dialLimit))
		},
	}
	if s.external {
		cfg.SASL = []amqp.Authentication{&amqp.ExternalAuth{}}
	}
	l.Connection, err = amqp.DialConfig(s.url, cfg)
	interrupt()
	return l, err
}

// inWords adds to AMQP's terse errors what to do about them.
func (s *Source) inWords(err error) error {
	var a *amqp.Error
	if err == nil {
		return errors.New("the broker closed the connection")
	}
	if !errors.As(err, &a) {
		return err
	}
	switch a.Code {
	case amqp.AccessRefused:
		return fmt.Errorf("the broker refuses the user, or what it may do on vhost %q: check url and the user's permissions: %w", s.cfg.Vhost, err)
	case amqp.NotAllowed:
		return fmt.Errorf("the broker does not let the user into vhost %q, or has no such vhost: %w", s.cfg.Vhost, err)
	case amqp.ConnectionForced:
		return fmt.Errorf("the broker was stopped, or closed the connection: %w", err)
	}
	return err
}
