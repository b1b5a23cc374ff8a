package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

var _ LogBackend = (*backend)(nil)

func (b *backend) Batches(_ context.Context, since, until time.Time, yield func(LogBatch) error) error {
	err := b.ask(fmt.Sprintf("batches %d %d", since.Unix(), until.Unix()))
	for i := range b.entries {
		if err != nil && i == b.after {
			return err
		}
		if err := yield(LogBatch{Seq: uint64(i + 1), Time: time.Unix(int64(i), 5), Data: bytes.Repeat([]byte{byte(i)}, i*1000)}); err != nil {
			return err
		}
	}
	return err
}

func (b *backend) Bundle(context.Context) ([]byte, error) { return []byte("bundle"), b.ask("bundle") }

func TestBatches(t *testing.T) {
	b := &backend{entries: 5}
	s := newServer(t, b)
	w := request(s, http.MethodGet, "/api/v1/log/batches?since=1970-01-01T00:00:07Z", there, "", bearer)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != BatchesType {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	body := w.Body.Bytes()
	n := 0
	err := ReadBatches(bytes.NewReader(body), func(b LogBatch) error {
		if b.Seq != uint64(n+1) || !b.Time.Equal(time.Unix(int64(n), 5)) || len(b.Data) != n*1000 {
			t.Errorf("batch %d is %d of %s with %d bytes", n, b.Seq, b.Time, len(b.Data))
		}
		n++
		return nil
	})
	if err != nil || n != 5 {
		t.Errorf("%d batches, %v", n, err)
	}
	if got := b.calls(); len(got) != 1 || !strings.HasPrefix(got[0], "batches 7 -") {
		t.Errorf("asked %v", got)
	}
	// Wherever it is cut off, that is seen.
	for i := range body[:len(body)-1] {
		if err := ReadBatches(bytes.NewReader(body[:i]), func(LogBatch) error { return nil }); err == nil {
			t.Fatalf("cut off after %d of %d bytes, and nobody saw it", i, len(body))
		}
	}
	stop := errors.New("enough")
	if err := ReadBatches(bytes.NewReader(body), func(LogBatch) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the reader's own error came back as %v", err)
	}
}

func TestBatchesThatFail(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		after       int
		code        int
		want        string
	}{
		{"before the first", "", 0, http.StatusServiceUnavailable, ""},
		{"in the middle", "", 2, http.StatusOK, "the list of batches broke off: "},
		{"no time", "?since=yesterday", 9, http.StatusBadRequest, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &backend{entries: 4, after: tt.after, err: errors.New("the disk is on fire")}
			w := request(newServer(t, b), http.MethodGet, "/api/v1/log/batches"+tt.query, there, "", bearer)
			if w.Code != tt.code {
				t.Fatalf("%d %s, want %d", w.Code, w.Body, tt.code)
			}
			if tt.want == "" {
				return
			}
			err := ReadBatches(w.Body, func(LogBatch) error { return nil })
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !strings.Contains(err.Error(), "on fire") {
				t.Errorf("the client sees %v", err)
			}
		})
	}
}

// Only so many read at once.
func TestManyReadTheLog(t *testing.T) {
	s := newServer(t, &backend{entries: 1})
	for range logReaders {
		s.logTurns <- struct{}{}
	}
	w := request(s, http.MethodGet, "/api/v1/log/batches", there, "", bearer)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d, retry after %q", w.Code, w.Header().Get("Retry-After"))
	}
	<-s.logTurns
	if w := request(s, http.MethodGet, "/api/v1/log/batches", there, "", bearer); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestBundle(t *testing.T) {
	w := request(newServer(t, &backend{}), http.MethodGet, "/api/v1/log/rules", there, "", bearer)
	if w.Code != http.StatusOK || w.Body.String() != "bundle" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func FuzzReadBatches(f *testing.F) {
	f.Add([]byte{1, 1, 1, 7, 0, 0, 0})
	f.Add([]byte{1, 1, 255, 255, 255, 255, 15})
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = ReadBatches(bytes.NewReader(data), func(LogBatch) error { return nil })
	})
}
