package syslog

import (
	"errors"
	"fmt"
	"time"

	"signalbox/internal/source"
)

// Config sets up the listeners of one syslog source. Start from DefaultConfig:
// the zero value is not usable.
//
//	campus:
//	  kind: syslog
//	  udp: 0.0.0.0:5514
//	  tcp: 0.0.0.0:5514
//	  tls: {listen: 0.0.0.0:6514, cert: tls/syslog.crt, key: tls/syslog.key}
//
// A tls block without listen makes the tcp listener speak TLS, and nothing but
// TLS:
//
//	tcp: 0.0.0.0:6514
//	tls: {cert: tls/syslog.crt, key: tls/syslog.key}
type Config struct {
	// UDP, TCP are host:port to listen on; "" for not at all. Port 0 lets the
	// system choose.
	UDP string `yaml:"udp"`
	TCP string `yaml:"tcp"`
	// TLS is RFC 5425: syslog over TLS.
	TLS *TLSConfig `yaml:"tls"`

	// MaxBytes is the longest message taken whole, in bytes. What a longer one
	// has beyond it is cut off; the event says so.
	MaxBytes int `yaml:"max_bytes"`
	// ReadBuffer is the size of the UDP socket's buffer in the kernel, in
	// bytes: what bridges the moments when we do not read. The kernel gives at
	// most net.core.rmem_max to who is not root.
	ReadBuffer int `yaml:"read_buffer"`

	// IdleTimeout closes connections that have been silent for as long. 0, the
	// default, is never: quiet devices are silent for days, syslog over TCP
	// has no acknowledgement, and so the first message after an idle close is
	// lost. Peers that have gone are found by TCP keep-alive.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// MaxConnections bounds the connections of this source (TCP and TLS), and
	// MaxConnectionsPerPeer those of one address, so that one peer cannot take
	// them all.
	MaxConnections        int `yaml:"max_connections"`
	MaxConnectionsPerPeer int `yaml:"max_connections_per_peer"`
}

// TLSConfig is the server's side of TLS 1.2 and later. Paths start at the
// folder of the configuration file. Renewed files are taken up by themselves.
type TLSConfig struct {
	// Listen is host:port of a listener of its own; "" puts TLS on Config.TCP.
	Listen string `yaml:"listen"`
	Cert   string `yaml:"cert"` // PEM, the chain
	Key    string `yaml:"key"`  // PEM
	// ClientCA is a PEM file of authorities; with it only devices with a
	// certificate of one of them are let in.
	ClientCA string `yaml:"client_ca"`
}

// DefaultConfig listens nowhere yet.
func DefaultConfig() Config {
	return Config{
		MaxBytes:              64 << 10,
		ReadBuffer:            8 << 20,
		MaxConnections:        2048,
		MaxConnectionsPerPeer: 128,
	}
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	address := func(key, value string) {
		if value == "" {
			return
		}
		if err := source.CheckListen(value); err != nil {
			bad("%s: %w", key, err)
		}
	}
	address("udp", c.UDP)
	address("tcp", c.TCP)
	if t := c.TLS; t != nil {
		address("tls.listen", t.Listen)
		if t.Listen == "" && c.TCP == "" {
			bad("tls: nothing to listen on: set tls.listen, or tcp to speak TLS there")
		}
		if t.Cert == "" {
			bad("tls.cert: missing: a PEM file with the certificate chain")
		}
		if t.Key == "" {
			bad("tls.key: missing: a PEM file with the private key")
		}
	}
	if c.UDP == "" && c.TCP == "" && c.TLS == nil {
		bad("nothing to listen on: set udp, tcp or tls.listen")
	}
	if c.MaxBytes < 480 || c.MaxBytes > 1<<20 {
		bad("max_bytes: %d is not between 480, which RFC 5424 requires, and 1048576", c.MaxBytes)
	}
	if c.ReadBuffer < 0 {
		bad("read_buffer: %d is negative", c.ReadBuffer)
	}
	if c.IdleTimeout < 0 {
		bad("idle_timeout: %v is negative; 0 is never", c.IdleTimeout)
	}
	if c.MaxConnections < 1 {
		bad("max_connections: %d is below 1", c.MaxConnections)
	}
	if c.MaxConnectionsPerPeer < 1 {
		bad("max_connections_per_peer: %d is below 1", c.MaxConnectionsPerPeer)
	}
	return errors.Join(errs...)
}
