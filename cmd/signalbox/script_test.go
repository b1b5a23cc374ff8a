package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what was printed into the scripts' golden files")

// The command is tested as people use it: each script in testdata/script is a
// session at a prompt, with a server of its own where it starts one.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"signalbox": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireUniqueNames: true, UpdateScripts: *update,
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve, "waitready": waitready, "stopserver": stopserver, "post": post, "eventually": eventually,
			"capture": capture, "target": target, "jsonlines": jsonlines, "replace": replace, "rc": rc,
		},
	})
}

const patience = 20 * time.Second

// world is what a script has beside its files.
type world struct {
	server *exec.Cmd
	answer atomic.Int64 // status that the script's web server answers with
	asked  atomic.Int64
}

type worldKey struct{}

func of(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// setup gives the script free addresses, a data folder, and a web server that
// answers as "target" says.
func setup(env *testscript.Env) error {
	w := &world{}
	w.answer.Store(http.StatusOK)
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		w.asked.Add(1)
		rw.WriteHeader(int(w.answer.Load()))
		_, _ = io.WriteString(rw, "answered")
	}))
	env.Defer(web.Close)
	env.Defer(func() {
		if w.server != nil {
			_ = w.server.Process.Kill()
			_ = w.server.Wait()
		}
	})
	env.Values[worldKey{}] = w
	env.Setenv("SIGNALBOX_DATA", filepath.Join(env.WorkDir, "data"))
	env.Setenv("TARGET", web.URL)
	for name, network := range map[string]string{"HTTPADDR": "tcp", "SYSLOGADDR": "udp", "TRAPADDR": "udp"} {
		addr, err := freeAddr(network)
		if err != nil {
			return err
		}
		env.Setenv(name, addr)
	}
	return nil
}

func freeAddr(network string) (string, error) {
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer c.Close()
		return c.LocalAddr().String(), nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// serve [FLAG...] puts the script's addresses into its YAML files, starts the
// server in the background and waits until it is ready. Its output is in
// serve.log.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! serve")
	}
	fill(ts, ts.MkAbs("."))
	log, err := os.OpenFile(ts.MkAbs("serve.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	bin, err := exec.LookPath("signalbox")
	ts.Check(err)
	cmd := exec.Command(bin, append([]string{"serve"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), log, log
	cmd.Env = append(os.Environ(), "SIGNALBOX_DATA="+ts.Getenv("SIGNALBOX_DATA"))
	ts.Check(cmd.Start())
	of(ts).server = cmd
	waitready(ts, false, nil)
}

// fill replaces the names of addresses in the YAML files below a folder.
func fill(ts *testscript.TestScript, dir string) {
	var pairs []string
	for _, name := range []string{"HTTPADDR", "SYSLOGADDR", "TRAPADDR", "TARGET"} {
		pairs = append(pairs, name, ts.Getenv(name))
	}
	names := strings.NewReplacer(pairs...)
	ts.Check(filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if text := names.Replace(string(b)); text != string(b) {
			return os.WriteFile(path, []byte(text), 0o600)
		}
		return nil
	}))
}

// waitready waits until the server says that it is ready.
func waitready(ts *testscript.TestScript, neg bool, _ []string) {
	if neg {
		ts.Fatalf("unsupported: ! waitready")
	}
	until(ts, "the server is ready", func() bool {
		resp, err := http.Get("http://" + ts.Getenv("HTTPADDR") + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func until(ts *testscript.TestScript, what string, ok func() bool) {
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			log, _ := os.ReadFile(ts.MkAbs("serve.log"))
			ts.Fatalf("not within %v: %s\n%s", patience, what, log)
		}
	}
}

// stopserver is SIGTERM, or SIGKILL with -9; the server must end well by the first.
func stopserver(ts *testscript.TestScript, neg bool, args []string) {
	cmd := of(ts).server
	if neg || cmd == nil {
		ts.Fatalf("no server to stop")
	}
	of(ts).server = nil
	sig := syscall.SIGTERM
	if len(args) == 1 && args[0] == "-9" {
		sig = syscall.SIGKILL
	}
	ts.Check(cmd.Process.Signal(sig))
	if err := cmd.Wait(); err != nil && sig == syscall.SIGTERM {
		ts.Fatalf("the server ended with %v", err)
	}
}

// post STATUS PATH BODY sends a webhook and wants that status. The answer is
// stdout.
func post(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: post STATUS PATH BODY")
	}
	resp, err := http.Post("http://"+ts.Getenv("HTTPADDR")+args[1], "application/json", strings.NewReader(args[2]))
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_, _ = ts.Stdout().Write(body)
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("%s: %d, want %s: %s", args[1], resp.StatusCode, args[0], body)
	}
}

// eventually PATTERN COMMAND... runs a command until its stdout matches.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN COMMAND...")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	var last bytes.Buffer
	defer func() { _, _ = ts.Stdout().Write(last.Bytes()) }()
	until(ts, fmt.Sprintf("%q in the output of %q", args[0], args[1:]), func() bool {
		last.Reset()
		bin, err := exec.LookPath(args[1])
		ts.Check(err)
		cmd := exec.Command(bin, args[2:]...)
		cmd.Dir, cmd.Stdout = ts.MkAbs("."), &last
		cmd.Env = append(os.Environ(), "SIGNALBOX_DATA="+ts.Getenv("SIGNALBOX_DATA"))
		_ = cmd.Run() // what it prints is what counts
		return re.Match(last.Bytes())
	})
}

// capture NAME PATTERN puts the pattern's first group in the last stdout into the
// environment.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	m := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("%q is not in stdout: %s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], m[1])
}

// target STATUS says what the script's web server answers from now on.
func target(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: target STATUS")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	of(ts).answer.Store(int64(status))
}

// jsonlines [N] wants stdout to be one JSON object a line, and N of them.
func jsonlines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: jsonlines [N]")
	}
	n := 0
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			ts.Fatalf("line %d is no JSON object: %q", n+1, line)
		}
		n++
	}
	if n == 0 || len(args) == 1 && args[0] != strconv.Itoa(n) {
		ts.Fatalf("%d lines", n)
	}
}

// replace FILE OLD NEW changes a text in a file, which must be there. The file
// is replaced as editors do it: at once.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%q is not in %s", args[1], args[0])
	}
	path := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(path+".tmp", []byte(strings.ReplaceAll(text, args[1], args[2])), 0o600))
	ts.Check(os.Rename(path+".tmp", path))
}
