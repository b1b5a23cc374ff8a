package attacks

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gosnmp/gosnmp"

	"signalbox/test/harness"
)

// canaries are the secrets of one configuration, by where they stand. Each is
// like no other text.
var canaries = map[string]string{
	"hmac": "canaryhmac7f3a91c4", "standard": "canarystandard55c0de", "bearer": "canarybearer19bb40e2", "basic": "canarybasic88d1f6a3",
	"community": "canarycommunity4e21", "auth": "canaryauthpass6b70d5", "priv": "canaryprivpass02ce9f", "amqp": "canaryamqppass31f8a7",
	"header": "canaryheader9d5e12b8", "query": "canaryquery46aa07fd", "body": "canarybody73c1d9e0", "env": "canaryenviron5f08b2", "stdin": "canarystdinc93e61", "unused": "canaryunuseda2140b",
}

const canaryRules = `
rules:
  - name: tell
    on: interface_down
    lock: none
    retry: {attempts: 2, backoff: 10ms}
    do:
      - http:
          url: "TARGET/tell?key=${secret('query')}"
          headers: {X-Api-Key: "${secret('header')}"}
          body: {token: "${secret('body')}", device: "${event.device}"}
        register: told
        ignore_errors: true
      - exec:
          command: [/bin/sh, -c, 'echo "out $TOKEN"; cat; echo "err $TOKEN" >&2; exit 3']
          env: {TOKEN: "${secret('env')}"}
          stdin: "${secret('stdin')}"
        register: ran
        ignore_errors: true
      - log: {message: "answered ${told.?body.orValue('')} ${ran.?stdout.orValue('')} ${ran.?stderr.orValue('')}"}
      - http: {url: "TARGET/fail?key=${secret('query')}", headers: {X-Api-Key: "${secret('header')}"}}
  - name: away
    on: bgp_neighbor_down
    lock: none
    retry: {attempts: 2, backoff: 10ms}
    do:
      - http: {url: "http://127.0.0.1:1/${secret('query')}", headers: {Authorization: "Bearer ${secret('header')}"}}
  - name: bad
    on: config_change
    lock: none
    do:
      - http: {url: "${secret('query')}://x\u0001/", headers: {X-Bad: "${secret('header')}\n"}}
  - name: missing
    on: bfd_down
    lock: none
    do:
      - exec: {command: ["/nonexistent/${secret('env')}"], env: {TOKEN: "${secret('env')}"}}
`

// Every secret of the configuration is used, in what succeeds and in what fails,
// against servers and programs that say it back; then it is looked for in
// all that was written.
func TestCanarySecrets(t *testing.T) {
	var used atomic.Int64
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Api-Key") == canaries["header"] && r.URL.Query().Get("key") == canaries["query"] {
			used.Add(1)
		}
		if strings.HasPrefix(r.URL.Path, "/fail") {
			w.WriteHeader(http.StatusInternalServerError)
		}
		w.Header().Set("X-Echo", r.Header.Get("X-Api-Key"))
		fmt.Fprintf(w, "you sent %s %s %s", r.URL, r.Header.Get("X-Api-Key"), b)
	}))
	defer echo.Close()
	traps := harness.FreePort(t, "udp")
	amqp := harness.FreePort(t, "tcp") // nobody is there
	s := harness.New(t, map[string]string{"signalbox.yaml": fmt.Sprintf(`
http: {listen: HTTPADDR}
sources:
  open: {kind: webhook, auth: {none: true}}
  git: {kind: webhook, auth: {hmac: {header: X-Hub-Signature-256, prefix: "sha256=", secret: %s}}}
  std: {kind: webhook, auth: {standard_webhooks: {secret: "whsec_%s"}}}
  tok: {kind: webhook, auth: {bearer: %s}}
  bas: {kind: webhook, auth: {basic: {user: u, password: %s}}}
  t:
    kind: snmp
    listen: %q
    communities: [%s]
    users: [{name: priv, auth: {protocol: SHA256, secret: %s}, priv: {protocol: AES, secret: %s}}]
  q: {kind: rabbitmq, url: "amqp://user:%s@%s/", queue: q}
rules: rules/
dedup: {off: true}
actions: {http: {allow_loopback: true}}
secrets: {header: %s, query: %s, body: %s, env: %s, stdin: "${file:SECRETFILE}", unused: "${env.SIGNALBOX_CANARY}"}
`, canaries["hmac"], base64.StdEncoding.EncodeToString([]byte(canaries["standard"])), canaries["bearer"], canaries["basic"], traps,
		canaries["community"], canaries["auth"], canaries["priv"], canaries["amqp"], amqp,
		canaries["header"], canaries["query"], canaries["body"], canaries["env"])})
	secretFile := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(secretFile, []byte(canaries["stdin"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	s.Write("signalbox.yaml", strings.ReplaceAll(string(config), "SECRETFILE", secretFile))
	s.Write("rules/r.yaml", strings.ReplaceAll(canaryRules, "TARGET", echo.URL))
	s.Env = []string{"SIGNALBOX_CANARY=" + canaries["unused"]}
	s.Args = []string{"--log-level", "debug"}
	s.StartReady()

	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+canaries["basic"]))
	for i, headers := range [][]string{{"X: y"}, {hub(canaries["hmac"], down)}, {"Authorization: Bearer " + canaries["bearer"]}, {basic},
		{"Authorization: Bearer " + token(t, s)}, {"Cookie: a=" + canaries["bearer"]}} {
		for _, source := range []string{"open", "git", "std", "tok", "bas"} {
			post(t, s, "/webhook/"+source, strings.Replace(down, "sw1", fmt.Sprintf("sw%d-%s", i, source), 1), headers...)
			post(t, s, "/webhook/"+source, "{", headers...)
		}
	}
	for _, body := range []string{`{"event_type":"bgp_neighbor_down","device":"r1","neighbor":"192.0.2.1"}`, `{"event_type":"config_change","device":"r1"}`, `{"event_type":"bfd_down","device":"r1","neighbor":"192.0.2.1"}`, `{"event_type":"bgp_neighbor_down","device":"r1"}`} {
		post(t, s, "/webhook/open", body)
	}
	sendTrap(t, traps, &gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: canaries["community"]}, "Gi0/1")
	sendTrap(t, traps, &gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: canaries["community"] + "x"}, "Gi0/3")
	sendTrap(t, traps, v3("priv", canaries["auth"], canaries["priv"], gosnmp.AuthPriv), "Gi0/4")
	sendTrap(t, traps, v3("priv", canaries["auth"]+"x", canaries["priv"], gosnmp.AuthPriv), "Gi0/5")
	s.Eventually("the traps", limit, func() bool { return len(s.Events("--source", "t")) >= 2 })
	l := s.Settled(limit)
	if l.Log.Runs.Failed == 0 || used.Load() == 0 {
		t.Errorf("%d runs failed and secrets were used %d times: the test is not about what it should be", l.Log.Runs.Failed, used.Load())
	}
	written := collect(t, s)
	if err := s.Stop(limit); err != nil {
		t.Error(err)
	}
	s.StartReady() // what is read back is written again
	for name, text := range collect(t, s) {
		written[name+", after a restart"] = text
	}
	hunt(t, s, written)
}

const tokenFile = "api.token"

// collect is all that is written and shown, by where.
func collect(t *testing.T, s *harness.Server) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(s.Data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == tokenFile {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil {
			out["file "+path] = b
		}
		return nil // a file of the log may go while it is looked at
	})
	if err != nil {
		t.Fatal(err)
	}
	cli := func(args ...string) string {
		text, err := s.CLI(args...)
		if err != nil {
			text += err.Error()
		}
		out["signalbox "+strings.Join(args, " ")] = []byte(text)
		return text
	}
	for _, c := range []string{"events --limit 0", "events --limit 0 --json", "rejected list --json", "status", "status --json", "ledger --verify --json", "deadletter list", "deadletter list --json", "runs --limit 1000 --json"} {
		cli(strings.Fields(c)...)
	}
	for line := range strings.Lines(cli("runs", "--limit", "1000", "--json")) {
		var r struct{ Run string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		cli("runs", r.Run, "--json")
	}
	for line := range strings.Lines(cli("deadletter", "list", "--json")) {
		var r struct{ Run string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		cli("deadletter", "show", r.Run, "--json")
	}
	_, metrics := ask(t, s, "GET", "/metrics", nil)
	out["/metrics"] = []byte(metrics)
	for _, p := range []string{"goroutine?debug=2", "heap?debug=1"} {
		_, text := ask(t, s, "GET", "/debug/pprof/"+p, nil, "Authorization: Bearer "+token(t, s))
		out["/debug/pprof/"+p] = []byte(text)
	}
	out["the server's output"] = []byte(s.Output())
	return out
}

// hunt looks for each secret as it is and in the codings that it travels in.
func hunt(t *testing.T, s *harness.Server, written map[string][]byte) {
	t.Helper()
	secrets := map[string]string{"the API's token": token(t, s)}
	for name, v := range canaries {
		secrets[name] = v
	}
	hits, size := 0, 0
	for where, text := range written {
		size += len(text)
		for name, v := range secrets {
			b64 := base64.StdEncoding.EncodeToString([]byte(v))
			forms := map[string]string{"as it is": v, "in hex": hex.EncodeToString([]byte(v)), "in base64": b64[:len(b64)/4*4-4],
				"in a URL": url.QueryEscape(v), "with a user in base64": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte("u:"+v)), "=")[:20]}
			for form, f := range forms {
				if at := bytes.Index(text, []byte(f)); at >= 0 {
					hits++
					if hits < 15 {
						t.Errorf("the secret %q stands in %s, %s: …%q…", name, where, form, text[max(0, at-80):min(len(text), at+60)])
					}
				}
			}
		}
	}
	t.Logf("%d secrets in %d places of %d bytes: %d hits", len(secrets), len(written), size, hits)
	if len(written) < 20 {
		t.Errorf("only %d places were looked at", len(written))
	}
}

// A configuration with mistakes is reported without the secrets in it.
func TestCanaryInMistakes(t *testing.T) {
	const c = "canarymistake8e07"
	for name, section := range map[string]string{
		"a URL that is none": `sources: {q: {kind: rabbitmq, url: "amqp://user:` + c + `@host:notaport/%zz", queue: q}}`,
		"another scheme":     `sources: {q: {kind: rabbitmq, url: "http://user:` + c + `@host/", queue: q}}`,
		"a key beside it":    `sources: {w: {kind: webhook, auth: {hmac: {header: X, secret: ` + c + `, secrt: ` + c + `}}}}`,
		"no base64":          `sources: {w: {kind: webhook, auth: {standard_webhooks: {secret: "whsec_` + c + `!"}}}}`,
		"two ways":           `sources: {w: {kind: webhook, auth: {none: true, bearer: ` + c + `}}}`,
		"a list":             `sources: {t: {kind: snmp, communities: ` + c + `}}`,
		"a short password":   `sources: {t: {kind: snmp, users: [{name: u, auth: {protocol: SHA257, secret: ` + c + `}}]}}`,
		"a proxy":            `actions: {http: {proxy: "http://user:` + c + `@:notaport"}}`,
		"nats":               `nats: {url: "nats://user:` + c + `@host:notaport"}`,
		"a missing file":     `secrets: {x: "${file:/nonexistent}", y: ` + c + `, z: [` + c + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.New(t, map[string]string{"signalbox.yaml": section + "\nnonsense: 1\n"})
			for _, args := range [][]string{{"check", s.Config}, {"serve", "--config", s.Config, "--log-level", "debug"}} {
				out, err := s.CLI(args...)
				if err == nil {
					t.Fatalf("%v succeeds", args)
				}
				if text := out + err.Error(); strings.Contains(text, c) {
					t.Errorf("signalbox %s shows the secret:\n%s", args[0], text)
				}
			}
		})
	}
}
