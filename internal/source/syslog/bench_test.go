package syslog

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"signalbox/internal/normalize"
	"signalbox/internal/normalize/syslogmsg"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

// sink is a log that costs nothing but, on wish, what parsing costs.
type sink struct {
	parse    bool
	received atomic.Int64
	batches  atomic.Int64
}

func (s *sink) emit(_ context.Context, batch []normalize.Input, done func([]source.Receipt)) error {
	if s.parse {
		for i := range batch {
			if m := syslogmsg.Parse(batch[i].Raw, batch[i].Received); m.Tag == "" {
				panic("no tag in " + string(batch[i].Raw))
			}
		}
	}
	s.received.Add(int64(len(batch)))
	s.batches.Add(1)
	done(make([]source.Receipt, len(batch)))
	return nil
}

func benchmark(b *testing.B, network string, parse bool, send func(at string, s *sink)) {
	out := &sink{parse: parse}
	p := &places{at: map[string]string{}, ch: make(chan struct{})}
	cfg := DefaultConfig()
	cfg.UDP, cfg.TCP = "127.0.0.1:0", "127.0.0.1:0"
	counters := &dropCounter{}
	src, err := build(source.Env{Counters: counters, Listening: p.tell}, cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- src.Run(ctx, out.emit) }()
	at := p.wait(network)
	b.ReportAllocs()
	b.ResetTimer()
	send(at, out)
	for limit := time.Now().Add(within); out.received.Load() < int64(b.N) && time.Now().Before(limit); {
		<-time.After(50 * time.Microsecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(out.received.Load())/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(out.received.Load())/float64(out.batches.Load()), "msg/batch")
	cancel()
	if err := <-end; err != nil {
		b.Fatal(err)
	}
	if got := out.received.Load(); got != int64(b.N) {
		b.Errorf("%d of %d arrived, the kernel dropped %d", got, b.N, counters.total)
	}
}

// BenchmarkUDP sends as fast as it is read, a few thousand datagrams ahead at
// the most: so the figure is of a rate without drops.
func BenchmarkUDP(b *testing.B) {
	for name, parse := range map[string]bool{"read": false, "parsed": true} {
		b.Run(name, func(b *testing.B) {
			benchmark(b, "udp", parse, func(at string, s *sink) {
				c, err := net.Dial("udp", at)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				pc := ipv4.NewPacketConn(c.(*net.UDPConn))
				msgs := make([]ipv4.Message, 64)
				for i := range msgs {
					msgs[i].Buffers = [][]byte{line(sourcetest.Marker(i))}
				}
				for sent := 0; sent < b.N; {
					if int64(sent)-s.received.Load() > 2048 {
						<-time.After(20 * time.Microsecond)
						continue
					}
					n, err := pc.WriteBatch(msgs[:min(64, b.N-sent)], 0)
					if err != nil {
						b.Fatal(err)
					}
					sent += n
				}
			})
		})
	}
}

func BenchmarkTCP(b *testing.B) {
	for name, parse := range map[string]bool{"read": false, "parsed": true} {
		b.Run(name, func(b *testing.B) {
			benchmark(b, "tcp", parse, func(at string, s *sink) {
				c, err := net.Dial("tcp", at)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				one := string(line(sourcetest.Marker(1))) + "\n"
				chunk := []byte(strings.Repeat(one, 500))
				for sent := 0; sent < b.N; sent += 500 {
					if _, err := c.Write(chunk[:len(one)*min(500, b.N-sent)]); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
