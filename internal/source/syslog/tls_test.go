package syslog

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"signalbox/internal/source/sourcetest"
)

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
