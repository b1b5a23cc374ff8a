package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/record"
)

// session is one life of the server and of the connection to it. When it dies
// the log makes another.
type session struct {
	srv    *server.Server // nil when external
	nc     *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
	ctx    context.Context // ends when Log.fail says that it is broken
	kill   context.CancelFunc
}

// connect starts the embedded server, or dials the external one.
func connect(life context.Context, cfg Config, node string, log *slog.Logger, onWriteError func(error)) (*session, error) {
	s := new(session)
	s.ctx, s.kill = context.WithCancel(life)
	opts := []nats.Option{nats.Name("signalbox " + node), nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("nats connection", "err", err)
		})}
	url := cfg.URL
	if cfg.embedded() {
		srv, err := startServer(cfg, node, log, onWriteError)
		if err != nil {
			return nil, err
		}
		s.srv = srv
		opts, url = append(opts, nats.InProcessServer(srv), nats.NoReconnect()), nats.DefaultURL
	} else {
		if cfg.Credentials != "" {
			opts = append(opts, nats.UserCredentials(cfg.Credentials))
		}
		if cfg.CA != "" {
			opts = append(opts, nats.RootCAs(cfg.CA))
		}
		if cfg.Cert != "" {
			opts = append(opts, nats.ClientCert(cfg.Cert, cfg.Key))
		}
	}
	var err error
	if s.nc, err = nats.Connect(url, opts...); err != nil {
		s.close()
		return nil, fmt.Errorf("connect to NATS: %w", err) // nats.go keeps passwords out of its errors
	}
	if s.js, err = jetstream.New(s.nc, jetstream.WithDefaultTimeout(cfg.PublishTimeout)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func startServer(cfg Config, node string, log *slog.Logger, onWriteError func(error)) (*server.Server, error) {
	opts := &server.Options{
		ServerName: "signalbox-" + node,
		DontListen: true,
		NoSigs:     true,
		NoLog:      true, // SetLoggerV2 below
		MaxPayload: maxMessage,
		JetStream:  true,
		StoreDir:   cfg.Dir, // the server appends "jetstream"
		SyncAlways: true,
		// Unset, it would be 75 % of what is free at the time of start. The
		// rest is for the small buckets of leases and partitions.
		JetStreamMaxStore:  cfg.MaxBytes + 1<<30,
		JetStreamMaxMemory: 64 << 20,
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	srv.SetLoggerV2(&serverLog{log: log, onWriteError: onWriteError}, false, false, false)
	srv.Start()
	// Recovery takes seconds per GB after a kill; nothing is to be gained by
	// giving up on it.
	if !srv.ReadyForConnections(10 * time.Minute) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, fmt.Errorf("embedded NATS server is not ready after 10 minutes")
	}
	if !srv.JetStreamEnabled() {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, fmt.Errorf("embedded NATS server could not use %s: see the log lines before this one", storeDir(cfg))
	}
	return srv, nil
}

func (s *session) close() {
	s.kill()
	if s.nc != nil {
		s.nc.Close()
	}
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown() // leaving before that is suspected of losing data
	}
}

func storeDir(cfg Config) string { return filepath.Join(cfg.Dir, "jetstream") }

// blocksDir is where the embedded server keeps the stream's blocks. It is read
// (and synced), never written to, except by refresh.
func blocksDir(cfg Config) string {
	return filepath.Join(storeDir(cfg), "$G", "streams", streamName, "msgs")
}

func streamConfig(cfg Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        streamName,
		Description: "Signalbox's log: never delete, purge or shrink it",
		Subjects:    []string{string(record.Events), string(record.Decisions), string(record.Journal)},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		Storage:     jetstream.FileStorage,
		MaxAge:      cfg.MaxAge,
		MaxBytes:    cfg.MaxBytes,
		MaxMsgSize:  maxMessage,
		Replicas:    max(1, cfg.Replicas),
		DenyDelete:  true,
		DenyPurge:   true,
		AllowDirect: true,
		// Message ids cost memory each; the writer chain does their work.
		Duplicates: 100 * time.Millisecond,
	}
}

// serverLog passes the server's log on, and watches it for the one thing that
// the server tells nobody else: that a write has failed.
type serverLog struct {
	log          *slog.Logger
	onWriteError func(reason error)
}

func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(format string, v ...any)  {}
func (l *serverLog) Tracef(format string, v ...any)  {}
func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("nats-server", "msg", fmt.Sprintf(format, v...))
}
func (l *serverLog) Fatalf(format string, v ...any) { l.Errorf(format, v...) }
func (l *serverLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.log.Error("nats-server", "msg", line)
	low := strings.ToLower(line)
	if strings.Contains(low, "write error") || strings.Contains(low, "failed to store") || strings.Contains(low, "no space left") ||
		strings.Contains(low, "resource") || strings.Contains(low, "input/output error") {
		l.onWriteError(reason(line))
	}
}

// reason puts a failure in the words of whoever has to act on it.
func reason(line string) error {
	low := strings.ToLower(line)
	switch {
	case strings.Contains(low, "no space left"), strings.Contains(low, "resource limits exceeded"), strings.Contains(low, "insufficient resources"):
		return fmt.Errorf("%w (%s)", ErrDiskFull, line)
	case strings.Contains(low, "input/output error"):
		return fmt.Errorf("write or fsync failed: %w (%s)", ErrDiskFails, line)
	}
	return errors.New(line)
}
