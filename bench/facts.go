package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine says what is measured on.
func machine(dir string) (string, error) {
	p50, p99, err := fsyncTime(dir)
	if err != nil {
		return "", fmt.Errorf("fsync: %w", err)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| machine | |\n|---|---|\n")
	line := func(name, value string) { fmt.Fprintf(&b, "| %s | %s |\n", name, value) }
	line("time", time.Now().UTC().Format(time.RFC3339))
	line("cores", fmt.Sprintf("%d, %s", runtime.NumCPU(), processor()))
	line("fdatasync of 4 KiB", fmt.Sprintf("p50 %s, p99 %s", ms(p50), ms(p99)))
	line("kernel", unix.ByteSliceToString(u.Sysname[:])+" "+unix.ByteSliceToString(u.Release[:]))
	line("Go", runtime.Version())
	line("UDP buffer the kernel gives at most", firstLine("/proc/sys/net/core/rmem_max")+" bytes")
	line("load average at start", loadAverage())
	return b.String(), nil
}

// fsyncTime appends to a file and syncs it, as the log does.
func fsyncTime(dir string) (p50, p99 time.Duration, err error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, 0, err
	}
	defer func() { f.Close(); os.Remove(f.Name()) }()
	block := make([]byte, 4096)
	took := make([]time.Duration, 1000)
	for i := range took {
		if _, err := f.Write(block); err != nil {
			return 0, 0, err
		}
		t := time.Now()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, 0, err
		}
		took[i] = time.Since(t)
	}
	return percentile(took, 50), percentile(took, 99), nil
}

// percentile sorts took.
func percentile(took []time.Duration, p float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(float64(len(took))*p/100))]
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func firstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

func loadAverage() string {
	one, _, _ := strings.Cut(firstLine("/proc/loadavg"), " ")
	return one
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return runtime.GOARCH
}

// usage is processor time: of the whole machine, and of this program with its
// children that have ended.
type usage struct{ machine, ours, stolen time.Duration }

func used() usage {
	var u usage
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if unix.Getrusage(who, &r) == nil {
			u.ours += time.Duration(r.Utime.Nano() + r.Stime.Nano())
		}
	}
	f := strings.Fields(firstLine("/proc/stat"))
	for i, name := range []string{"cpu", "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"} {
		var ticks int64
		if i >= len(f) || i == 0 {
			continue
		}
		_, _ = fmt.Sscan(f[i], &ticks)
		switch d := time.Duration(ticks) * 10 * time.Millisecond; name {
		case "idle", "iowait":
		case "steal":
			u.stolen += d
		default:
			u.machine += d
		}
	}
	return u
}

// others says how much of the machine others had meanwhile: what is above a few
// percent makes figures low and ratios unsure.
func (before usage) others(took time.Duration) string {
	now := used()
	all := took.Seconds() * float64(runtime.NumCPU())
	percent := func(d time.Duration) float64 { return max(0, 100*d.Seconds()/all) }
	return fmt.Sprintf("other processes had %.0f %% of the cores, the hypervisor %.0f %%",
		percent(now.machine-before.machine-(now.ours-before.ours)), percent(now.stolen-before.stolen))
}
