package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// httpClient is one connection that sends prepared requests: it costs a small
// part of what net/http's client does, which would be measured too.
type httpClient struct {
	conn net.Conn
	in   *bufio.Reader
	head []byte
	buf  []byte
}

func dialHTTP(addr, path string, body int) (*httpClient, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, addr, body)
	return &httpClient{conn: conn, in: bufio.NewReaderSize(conn, 32<<10), head: []byte(head)}, nil
}

func (c *httpClient) close() { c.conn.Close() }

// post sends one body and reads the whole answer.
func (c *httpClient) post(body []byte) error {
	c.buf = append(append(c.buf[:0], c.head...), body...)
	if _, err := c.conn.Write(c.buf); err != nil {
		return err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	status := string(line[9:12])
	length, chunked := -1, false
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		switch {
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		case strings.EqualFold(name, "Transfer-Encoding"):
			chunked = true
		}
	}
	if err := c.discard(length, chunked); err != nil {
		return err
	}
	if status != "202" {
		return fmt.Errorf("answered with %s", status)
	}
	return nil
}

func (c *httpClient) discard(length int, chunked bool) error {
	if !chunked {
		_, err := c.in.Discard(max(length, 0))
		return err
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(line)), 16, 32)
		if err != nil {
			return err
		}
		if _, err := c.in.Discard(int(n) + 2); err != nil || n == 0 {
			return err
		}
	}
}

// load is what one stretch of requests gave.
type load struct {
	requests int
	took     time.Duration
	p50, p99 time.Duration
}

// httpLoad sends bodies over conns connections for d, each when the one before
// is answered. base is counted on, so that no two events are the same.
func httpLoad(ctx context.Context, addr, path string, body []byte, conns int, d time.Duration, base *atomic.Int64) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	begun := time.Now()
	for range conns {
		wg.Go(func() {
			took, err := client(ctx, addr, path, newTemplate(body), base)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	l := load{requests: len(all), took: time.Since(begun)}
	l.p50, l.p99 = percentile(all, 50), percentile(all, 99)
	return l, failed
}

func client(ctx context.Context, addr, path string, t *template, base *atomic.Int64) ([]time.Duration, error) {
	c, err := dialHTTP(addr, path, len(t.bytes))
	if err != nil {
		return nil, err
	}
	defer c.close()
	var took []time.Duration
	for ctx.Err() == nil {
		t.next(int(base.Add(int64(len(t.slots)))) - len(t.slots))
		begun := time.Now()
		if err := c.post(t.bytes); err != nil {
			return took, err
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

// accept is the answer of the handlers that Signalbox is beside.
func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"accepted"}`+"\n")
}
