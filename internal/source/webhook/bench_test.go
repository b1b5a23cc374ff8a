package webhook

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *nullWriter) WriteHeader(int)             {}

type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

// BenchmarkServeHTTP is what the source adds to a request, without net/http's
// own work and without the log.
func BenchmarkServeHTTP(b *testing.B) {
	for name, text := range map[string][]byte{"one": []byte(sample), "hundred": []byte("[" + string(bytes.Repeat([]byte(sample+","), 99)) + sample + "]")} {
		b.Run(name, func(b *testing.B) {
			f := &sourcetest.Fixture{Counters: &sourcetest.Counters{}, Health: &sourcetest.Health{}}
			src, err := New(f.Env("x"), DefaultConfig())
			if err != nil {
				b.Fatal(err)
			}
			receipts := make([]source.Receipt, 100)
			for i := range receipts {
				receipts[i].ID = "01930000-0000-7000-8000-000000000000"
			}
			src.emit = func(_ context.Context, in []normalize.Input, done func([]source.Receipt)) error {
				done(receipts[:len(in)])
				return nil
			}
			req := httptest.NewRequest(http.MethodPost, "/webhook/x", nil)
			req.RemoteAddr, req.ContentLength = "127.0.0.1:1", int64(len(text))
			req.Header.Set("Content-Type", "application/json")
			w, r := &nullWriter{http.Header{}}, &body{}
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(text)
				req.Body = io.ReadCloser(r)
				src.ServeHTTP(w, req)
			}
		})
	}
}
