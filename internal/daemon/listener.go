package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"signalbox/internal/config"
)

// listener is the one HTTP listener.
type listener struct {
	server *http.Server
	ln     net.Listener
	tls    bool
}

func listen(cfg *config.Config, h http.Handler, log *slog.Logger) (*listener, error) {
	l := &listener{server: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelInfo),
	}}
	t := cfg.HTTP.TLS
	if t.Cert != "" {
		tc, err := serverTLS(cfg.Resolve(t.Cert), cfg.Resolve(t.Key), cfg.Resolve(t.ClientCA))
		if err != nil {
			return nil, fmt.Errorf("http.tls: %w", err)
		}
		l.server.TLSConfig, l.tls = tc, true
	}
	var err error
	if l.ln, err = net.Listen("tcp", cfg.HTTP.Listen); err != nil {
		return nil, fmt.Errorf("http.listen: %w", err)
	}
	return l, nil
}

// serverTLS asks senders for certificates where clientCA is set; who needs one
// is for each source to say.
func serverTLS(cert, key, clientCA string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	tc := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clientCA == "" {
		return tc, nil
	}
	authorities, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, err
	}
	tc.ClientCAs = x509.NewCertPool()
	if !tc.ClientCAs.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("client_ca: %s holds no certificate", clientCA)
	}
	tc.ClientAuth = tls.VerifyClientCertIfGiven
	return tc, nil
}

// publishCert writes the certificate for the command line, or takes an old one
// away.
func (l *listener) publishCert(path string) error {
	if !l.tls {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	leaf := l.server.TLSConfig.Certificates[0].Certificate[0]
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}), 0o600)
}

func (l *listener) addr() string { return l.ln.Addr().String() }

// url is where the command line on this machine finds the server.
func (l *listener) url() string {
	scheme := "http"
	if l.tls {
		scheme = "https"
	}
	host, port, _ := net.SplitHostPort(l.addr())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (l *listener) serve(ctx context.Context) error {
	// Lists that are followed end when Signalbox does.
	l.server.BaseContext = func(net.Listener) context.Context { return ctx }
	defer context.AfterFunc(ctx, func() { _ = l.server.Close() })()
	var err error
	if l.tls {
		err = l.server.ServeTLS(l.ln, "", "")
	} else {
		err = l.server.Serve(l.ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// shutdown lets requests end until ctx does. Lists that are followed never end
// by themselves, so they are cut off after a moment.
func (l *listener) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		_ = l.server.Close()
	}
}
