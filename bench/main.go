// Command bench measures what users wait for on the real binary, beside what
// they would use instead, in the same run: so the ratios hold on a noisy
// machine where the figures do not. See docs/performance.md.
//
//	go run ./bench                  everything, below ten minutes
//	go run ./bench -short           a smoke run: the figures mean nothing
//	go run ./bench -run 'tcp|runs'  some of it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// item is one thing that is measured; it prints a table.
type item struct {
	name, title string
	run         func(context.Context, *bench) ([]row, error)
}

var items = []item{
	{"webhook", "Durable webhooks", webhooks},
	{"tcp", "Syslog over TCP", syslogTCP},
	{"udp", "Syslog over UDP", syslogUDP},
	{"traps", "SNMP traps", traps},
	{"rabbitmq", "RabbitMQ", rabbitMQ},
	{"appender", "Appender: durable events by batch size", appender},
	{"rules", "Rule matching", ruleMatching},
	{"latency", "Event to action start", latency},
	{"runs", "Durable runs through the whole chain", runs},
	{"memory-idle", "Memory, idle", one(idleMemory)},
	{"memory-keys", "Memory with a full dedup window", one(keysMemory)},
	{"memory-load", "Memory under load, followed", one(loadedMemory)},
}

// most bounds the whole; it takes eight minutes on a machine that is idle but for
// it.
const most = 15 * time.Minute

// bench is what all items share.
type bench struct {
	short    bool
	dir      string // everything that is written is below it
	bin      string // signalbox
	conns    int
	profiles string // where CPU profiles of the servers go; "" for none
}

// pick is n, or a smoke run's share of it.
func (b *bench) pick(n, short int) int {
	if b.short {
		return short
	}
	return n
}

func (b *bench) seconds(full float64) time.Duration {
	if b.short {
		full = min(full, 0.5)
	}
	return time.Duration(full * float64(time.Second))
}

func main() {
	if name := os.Getenv(childEnv); name != "" {
		if err := child(name); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", name+":", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{}
	only := flag.String("run", "", "regular expression: which items (webhook, tcp, udp, traps, rabbitmq, appender, rules, latency, runs, memory-idle, memory-keys, memory-load)")
	dir := flag.String("dir", os.TempDir(), "folder for the data: its disk is what is measured")
	flag.BoolVar(&b.short, "short", false, "a smoke run of seconds: the figures mean nothing")
	flag.StringVar(&b.bin, "bin", "", "the signalbox to measure; built where it is not given")
	flag.IntVar(&b.conns, "conns", 64, "HTTP connections that send webhooks")
	flag.StringVar(&b.profiles, "profiles", "", "folder for CPU profiles of Signalbox under load")
	flag.Parse()
	which, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if b.dir, err = os.MkdirTemp(*dir, "signalbox-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := b.prepare(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("the bench took more than %v", most))
	defer cancel()
	facts, err := machine(b.dir)
	if err != nil {
		return err
	}
	fmt.Println(facts)
	return b.measure(ctx, which)
}

func (b *bench) prepare() (err error) {
	if b.profiles != "" {
		if err := os.MkdirAll(b.profiles, 0o755); err != nil {
			return err
		}
	}
	if b.bin != "" {
		b.bin, err = filepath.Abs(b.bin)
		return err
	}
	b.bin = filepath.Join(b.dir, "signalbox")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", b.bin, "signalbox/cmd/signalbox").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// measure runs the items one after the other. One that fails does not keep the
// others from being measured.
func (b *bench) measure(ctx context.Context, which *regexp.Regexp) error {
	begun := time.Now()
	var failed error
	missed, met := 0, 0
	for _, it := range items {
		if !which.MatchString(it.name) || ctx.Err() != nil {
			continue
		}
		fmt.Printf("### %s (%s)\n\n", it.title, it.name)
		t, usage := time.Now(), used()
		rows, err := it.run(ctx, b)
		fmt.Print(table(rows))
		for _, r := range rows {
			switch r.met {
			case "yes":
				met++
			case "no":
				missed++
			}
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", it.name, err))
			fmt.Printf("\nFAILED: %v\n", err)
		}
		fmt.Printf("\n(%.0f s; %s)\n\n", time.Since(t).Seconds(), usage.others(time.Since(t)))
	}
	fmt.Printf("%d goals met, %d not, in %.0f s\n", met, missed, time.Since(begun).Seconds())
	return errors.Join(failed, ctx.Err())
}
