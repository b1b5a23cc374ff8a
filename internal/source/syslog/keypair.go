package syslog

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// keyPair is the server's certificate. It looks at the files' times when a
// client comes, so that a renewed certificate needs no restart; a pair that
// cannot be read leaves the one before in place.
type keyPair struct {
	cert, key string
	clients   *x509.CertPool

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed time.Time
	looked  time.Time
}

func loadKeyPair(dir string, cfg TLSConfig) (*keyPair, error) {
	path := func(p string) string {
		if filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(dir, p)
	}
	k := &keyPair{cert: path(cfg.Cert), key: path(cfg.Key)}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	if cfg.ClientCA != "" {
		pem, err := os.ReadFile(path(cfg.ClientCA))
		if err != nil {
			return nil, fmt.Errorf("tls.client_ca: %w", err)
		}
		k.clients = x509.NewCertPool()
		if !k.clients.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.client_ca: %s: no certificate in PEM form", path(cfg.ClientCA))
		}
	}
	return k, nil
}

func (k *keyPair) load() error {
	changed, err := k.modified()
	if err != nil {
		return err
	}
	c, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", k.cert, k.key, err)
	}
	k.loaded, k.changed = &c, changed
	return nil
}

func (k *keyPair) modified() (time.Time, error) {
	a, err1 := os.Stat(k.cert)
	b, err2 := os.Stat(k.key)
	if err := errors.Join(err1, err2); err != nil {
		return time.Time{}, err
	}
	if b.ModTime().After(a.ModTime()) {
		return b.ModTime(), nil
	}
	return a.ModTime(), nil
}

// config is the server's TLS configuration.
func (k *keyPair) config() *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.current(), nil },
	}
	if k.clients != nil {
		c.ClientCAs, c.ClientAuth = k.clients, tls.RequireAndVerifyClientCert
	}
	return c
}

func (k *keyPair) current() *tls.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.looked) > time.Second {
		k.looked = now
		if changed, err := k.modified(); err == nil && !changed.Equal(k.changed) {
			// A half-written pair does not load, and is looked at again.
			_ = k.load()
		}
	}
	return k.loaded
}
