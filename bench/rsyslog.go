package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// rsyslog is one that writes what it gets to a file, as its own process with its
// own configuration and ports.
type rsyslog struct {
	process
	dir, out string
	tcp, udp string
	durable  bool
}

// From memory: the queue is in memory and the file is not synced. Made durable:
// the queue is on disk with its files and its bookkeeping synced, and so is the
// output. Neither maps anything.
const rsyslogConf = `
global(workDirectory="DIR" maxMessageSize="8k")
module(load="imtcp")
module(load="imudp")
template(name="raw" type="string" string="%rawmsg%\n")
MAINQUEUE
input(type="imtcp" address="127.0.0.1" port="TCPPORT")
input(type="imudp" address="127.0.0.1" port="UDPPORT" rcvbufSize="4m")
action(type="omfile" file="OUT" template="raw" SYNC)
`

func (b *bench) rsyslog(ctx context.Context, durable bool) (*rsyslog, error) {
	bin, err := exec.LookPath("rsyslogd")
	if err != nil {
		bin = "/usr/sbin/rsyslogd"
	}
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("no rsyslog on this machine: run scripts/install-test-deps.sh")
	}
	dir, err := os.MkdirTemp(b.dir, "rsyslog-")
	if err != nil {
		return nil, err
	}
	rs := &rsyslog{dir: dir, out: filepath.Join(dir, "out"), tcp: freePort("tcp"), udp: freePort("udp"), durable: durable}
	queue, sync := `main_queue(queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="1024")`, ""
	if durable {
		queue = `main_queue(queue.type="Disk" queue.filename="main" queue.syncQueueFiles="on" queue.checkpointInterval="1" queue.dequeueBatchSize="1024")`
		sync = `sync="on"`
	}
	conf := strings.NewReplacer("DIR", dir, "MAINQUEUE", queue, "TCPPORT", port(rs.tcp), "UDPPORT", port(rs.udp), "OUT", rs.out, "SYNC", sync).Replace(rsyslogConf)
	path := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	if err := rs.run(exec.Command(bin, "-n", "-f", path, "-i", filepath.Join(dir, "pid")), filepath.Join(dir, "output")); err != nil {
		return nil, err
	}
	err = await(ctx, 10*time.Second, "rsyslog listens", func() (bool, error) {
		if rs.ended() {
			return false, fmt.Errorf("rsyslog ended: %s", rs.output())
		}
		return listens("/proc/net/tcp", rs.tcp) && listens("/proc/net/udp", rs.udp), nil
	})
	if err != nil {
		rs.close()
	}
	return rs, err
}

func (rs *rsyslog) what() string {
	if rs.durable {
		return "rsyslog made durable (disk queue, synced)"
	}
	return "rsyslog from memory"
}

func (rs *rsyslog) close() {
	rs.kill()
	_ = os.RemoveAll(rs.dir)
}

// awaitBytes waits until the file is as long as what was sent.
func (rs *rsyslog) awaitBytes(ctx context.Context, want int64, limit time.Duration) error {
	var size int64
	err := await(ctx, limit, "rsyslog has written all", func() (bool, error) {
		if info, err := os.Stat(rs.out); err == nil {
			size = info.Size()
		}
		return size >= want, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %d of %d bytes", err, size, want)
	}
	return nil
}

// awaitLines waits until want lines are in the file, or no more come.
func (rs *rsyslog) awaitLines(ctx context.Context, want int, limit time.Duration) (n int, err error) {
	var size int64
	still := time.Now()
	err = await(ctx, limit, "rsyslog has written what it got", func() (bool, error) {
		if info, err := os.Stat(rs.out); err == nil && info.Size() != size {
			size, still = info.Size(), time.Now()
		}
		return time.Since(still) > 2*time.Second, nil
	})
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(rs.out)
	return min(want, bytes.Count(text, []byte{'\n'})), err
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// listens looks for a socket in the kernel's table: to connect would be a
// message.
func listens(table, addr string) bool {
	var n int
	_, _ = fmt.Sscan(port(addr), &n)
	b, err := os.ReadFile(table)
	return err == nil && bytes.Contains(b, fmt.Appendf(nil, "0100007F:%04X 00000000:0000", n))
}
