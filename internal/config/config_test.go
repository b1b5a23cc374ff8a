package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"signalbox/internal/rule"
)

// lines are the problems as they are printed.
func lines(err error) []string {
	var ps Problems
	if !errors.As(err, &ps) {
		return nil
	}
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}

func TestEmptyFileIsTheDefault(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "{}", "sources:\nrules:\n"} {
		got, err := Parse("dir/signalbox.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want := Default()
		if got.HTTP != want.HTTP || got.Workers.Concurrency != want.Workers.Concurrency || got.Drain != want.Drain ||
			got.Log.MaxBytes != want.Log.MaxBytes || got.Dedup.Within != want.Dedup.Within || len(got.Sources) != 0 {
			t.Errorf("%q gives %+v, want the defaults", text, got)
		}
		if got.Path != "dir/signalbox.yaml" || got.Dir != "dir" {
			t.Errorf("%q: path %q, folder %q", text, got.Path, got.Dir)
		}
	}
}

func TestWholeFile(t *testing.T) {
	t.Setenv("SIGNALBOX_TEST_PORT", "8181")
	c, err := Parse("/etc/signalbox/signalbox.yaml", []byte(`
http: {listen: "127.0.0.1:${env.SIGNALBOX_TEST_PORT}", tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}}
nats: {url: "nats://u:hidden@192.0.2.1:4222", replicas: 3}
log: {max_age: 7d, max_bytes: 2GiB, min_free: 10MB, publish_timeout: 2s, accept_damage: [{from: 3, to: 4}]}
sources:
  w: {kind: webhook, auth: {none: true}}
inventory: [a.yaml, /b.yaml]
rules: rules/
mappings: [m1, m2]
dedup: {by: [event.device], within: 1m30s, redelivery: 2h}
limits:
  - {runs: 200/h}
  - {devices: 5/15m, by: device.site}
secrets: {x: "${file:/run/x}"}
workers: {concurrency: 7, per_action: {http: 2}, pending: 9}
drain: 3s
unconfigured_webhooks: refuse
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Limit{{Runs: "200/h", Line: 12, Col: 5}, {Devices: "5/15m", By: []string{"device.site"}, Line: 13, Col: 5}}
	if !reflect.DeepEqual(c.Limits, want) {
		t.Errorf("limits = %+v, want %+v", c.Limits, want)
	}
	if c.HTTP.Listen != "127.0.0.1:8181" {
		t.Errorf("the environment is not put in: %q", c.HTTP.Listen)
	}
	if got := time.Duration(c.Log.MaxAge); got != 7*24*time.Hour {
		t.Errorf("log.max_age = %v", got)
	}
	if c.Log.MaxBytes != 2<<30 || c.Log.MinFree != 10e6 {
		t.Errorf("sizes: %d, %d", c.Log.MaxBytes, c.Log.MinFree)
	}
	if want := (Paths{"m1", "m2"}); cmp.Diff(want, c.Mappings) != "" {
		t.Errorf("mappings = %v", c.Mappings)
	}
	if want := (Paths{"rules/"}); cmp.Diff(want, c.Rules) != "" {
		t.Errorf("rules = %v", c.Rules)
	}
	if got := []string{c.Resolve("a.yaml"), c.Resolve("/b.yaml"), c.Resolve("")}; cmp.Diff([]string{"/etc/signalbox/a.yaml", "/b.yaml", ""}, got) != "" {
		t.Errorf("resolved: %v", got)
	}
	if n := c.Sources["w"].Node; n == nil || n.Line != 6 {
		t.Errorf("the source's section has lost its place: %+v", n)
	}
	if u, err := c.NATS.URL.Value(); err != nil || u != "nats://u:hidden@192.0.2.1:4222" {
		t.Errorf("nats.url = %q, %v", u, err)
	}
	if cmp.Diff([]Stretch{{3, 4}}, c.Log.AcceptDamage) != "" {
		t.Errorf("accept_damage = %v", c.Log.AcceptDamage)
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"a misspelt key", "htp: {listen: x}\n", []string{`f.yaml:1:1: unknown key "htp", did you mean "http"?`}},
		{"a nested one", "http:\n  lsten: x\n", []string{`f.yaml:2:3: unknown key "lsten" in http, did you mean "listen"?`}},
		{"nothing near", "http:\n  zzzzzzzz: x\n", []string{`f.yaml:2:3: unknown key "zzzzzzzz" in http; known are listen, tls`}},
		{"in a list", "log: {accept_damage: [{form: 1, to: 2}]}\n",
			[]string{`f.yaml:1:24: unknown key "form" in log.accept_damage[], did you mean "from"?`}},
		{"a scalar for a mapping", "http: 8080\n", []string{`f.yaml:1:7: http: want a mapping of keys to values`}},
		{"no YAML", "http: {listen: x\n", []string{`f.yaml:2:1: `}},
		{"a tab", "sources:\n\ta: {kind: syslog}\n", []string{`f.yaml:2:1: a tab: YAML is indented with spaces`}},
		{"a list for a mapping", "sources: [a, b]\n", []string{`f.yaml:1:10: expected a mapping (name: value), found a list`}},
		{"a mapping for text", "secrets: {tok: {value: x}}\n", []string{`f.yaml:1:16: expected text, found a mapping`}},
		{"text for a number", "workers: {concurrency: many}\n", []string{`f.yaml:1:24: expected a whole number, found text`}},
		{"a port alone", "http: {listen: 8080}\n", []string{`f.yaml:1:8: http.listen: "8080" is no host:port, such as 127.0.0.1:5514, or :5514 for all addresses`}},
		{"no such port", "http: {listen: '127.0.0.1:70000'}\n", []string{`f.yaml:1:8: http.listen: "127.0.0.1:70000": there is no port 70000`}},
		{"durations and sizes", "drain: soon\nlog:\n  max_bytes: big\n  max_age: -3d\n", []string{
			`f.yaml:1:8: `, `f.yaml:3:14: `, `f.yaml:4:12: `}},
		{"bounds, with their places", "log:\n  batch_records: 0\n  max_bytes: 1MiB\n  publish_timeout: 0s\nworkers: {concurrency: 0}\ndedup: {within: 0s}\n", []string{
			`f.yaml:2:3: log.batch_records: 0 is not between 1 and 65536`,
			`f.yaml:3:3: log.max_bytes: 1048576 is below 16MiB, which two blocks of the log fill`,
			`f.yaml:4:3: log.publish_timeout: must be more than 0`,
			`f.yaml:5:11: workers.concurrency: must be at least 1`,
			`f.yaml:6:9: dedup.within: must be more than 0; to have no window write off: true`}},
		{"words", "unconfigured_webhooks: sometimes\n", []string{`f.yaml:1:1: unconfigured_webhooks: "sometimes" is neither loopback nor refuse`}},
		{"half of a certificate", "http: {tls: {cert: c.pem}}\n", []string{`f.yaml:1:8: http.tls: cert and key go together`}},
		{"names of sources", "sources:\n  Bad: {kind: webhook}\n  ok-1: {kind: webhook}\n  a b: {kind: webhook}\n", []string{
			`f.yaml:2:3: sources: "Bad" is no name: use up to 64 of a-z, 0-9, - and _`,
			`f.yaml:4:3: sources: "a b" is no name: use up to 64 of a-z, 0-9, - and _`}},
		{"a variable that is not set", "http: {listen: \"${env.SIGNALBOX_TEST_NOT_SET}\"}\n",
			[]string{`f.yaml:1:16: environment variable SIGNALBOX_TEST_NOT_SET is not set`}},
		{"all in one go", "htp: x\nlog: {max_byts: 1GiB, batch_records: 0}\ndrain: soon\nsources: {Bad: {kind: x}}\n", []string{
			`f.yaml:1:1: unknown key "htp", did you mean "http"?`,
			`f.yaml:2:7: unknown key "max_byts" in log, did you mean "max_bytes"?`,
			`f.yaml:3:8: `,
			`f.yaml:2:23: log.batch_records: 0 is not between 1 and 65536`,
			`f.yaml:4:11: sources: "Bad" is no name: use up to 64 of a-z, 0-9, - and _`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(tt.text))
			got := lines(err)
			if len(got) != len(tt.want) {
				t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], tt.want[i])
				}
			}
			if err.Error() != strings.Join(got, "\n") {
				t.Errorf("as an error: %s", err)
			}
		})
	}
}

// A variable's text stays text: it can't become YAML.
func TestEnvironmentIsNotParsed(t *testing.T) {
	t.Setenv("SIGNALBOX_TEST_EVIL", "x}\nrules: /etc/\nhttp: {listen: 0.0.0.0:80")
	c, err := Parse("f.yaml", []byte("mibs: a${env.SIGNALBOX_TEST_EVIL}b\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "ax}\nrules: /etc/\nhttp: {listen: 0.0.0.0:80b"; c.MIBs != want {
		t.Errorf("mibs = %q", c.MIBs)
	}
	if c.Rules != nil || c.HTTP.Listen != Default().HTTP.Listen {
		t.Errorf("the variable changed the configuration: %+v", c)
	}
}

// Secrets in what is printed would be in logs and in error messages.
func TestSecretsAreNotPrinted(t *testing.T) {
	c, err := Parse("f.yaml", []byte("nats: {url: \"nats://u:canary@h:1\"}\nsecrets: {x: canary}\n"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(map[string]any{"url": c.NATS.URL, "secrets": c.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "canary") {
		t.Errorf("printed as YAML: %s", out)
	}
	_, err = Parse("f.yaml", []byte("secrets: {x: canary}\nsecretss: {x: canary}\nworkers: {concurrency: canary}\n"))
	if err == nil || strings.Contains(strings.Join(lines(err)[:1], ""), "canary") {
		t.Errorf("the mistake shows the secret: %v", err)
	}
}

func TestAliasesAndBombs(t *testing.T) {
	c, err := Parse("f.yaml", []byte("x-tls: &t {cert: a, key: b}\nhttp: {tls: *t}\n"))
	if got := lines(err); len(got) != 1 || !strings.Contains(got[0], `unknown key "x-tls"`) {
		t.Errorf("got %v", got)
	}
	if c.HTTP.TLS.Cert != "a" {
		t.Errorf("the alias is not followed: %+v", c.HTTP.TLS)
	}
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := range 12 {
		prev, next := string(rune('a'+i)), string(rune('a'+i+1))
		b.WriteString(next + "1: &" + next + "0 [*" + prev + "0,*" + prev + "0,*" + prev + "0,*" + prev + "0,*" + prev + "0,*" + prev + "0,*" + prev + "0,*" + prev + "0]\n")
	}
	if _, err := Parse("f.yaml", []byte(b.String()+"inventory: *m0\n")); err == nil {
		t.Error("an alias bomb is a configuration")
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signalbox.yaml")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("drain: 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil || time.Duration(c.Drain) != 5*time.Second || c.Dir != filepath.Dir(path) {
		t.Errorf("%+v, %v", c, err)
	}
}

// What is named and not there is told with its place, all of it.
func TestMissingFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "signalbox.yaml")
	if err := os.WriteFile(filepath.Join(dir, "devices.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("inventory: [devices.yaml, more.yaml]\nrules: rules/\nhttp: {listen: ''}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path)
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 3 {
		t.Fatalf("%v", err)
	}
	for i, want := range []string{":1:1: inventory: there is no file or folder " + filepath.Join(dir, "more.yaml"),
		":2:1: rules: there is no file or folder " + filepath.Join(dir, "rules"), ":3:8: http.listen: is empty"} {
		if !strings.Contains(ps[i].String(), want) {
			t.Errorf("%s, want …%s", ps[i], want)
		}
	}
	cfg.DropMissing()
	if !slices.Equal(cfg.Inventory, []string{"devices.yaml"}) || len(cfg.Rules) != 0 {
		t.Errorf("left are %v and %v", cfg.Inventory, cfg.Rules)
	}
}

func TestParseDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration // -1: a mistake
	}{
		{"30s", 30 * time.Second}, {"1h30m", 90 * time.Minute}, {"250ms", 250 * time.Millisecond}, {"0s", 0},
		{"30d", 720 * time.Hour}, {"1d12h", 36 * time.Hour}, {"1.5d", 36 * time.Hour}, {"2w", 336 * time.Hour},
		{"-5s", -1}, {"5", -1}, {"", -1}, {"d", -1}, {"1dd", -1}, {"70000d", -1}, {"1d9000000h", -1}, {"soon", -1},
	}
	for _, tt := range tests {
		got, err := ParseDuration(tt.text)
		if tt.want < 0 {
			if err == nil {
				t.Errorf("%q is %v, want a mistake", tt.text, got)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%q = %v, %v; want %v", tt.text, got, err, tt.want)
		}
	}
}

func TestSize(t *testing.T) {
	tests := []struct {
		text string
		want int64 // -1: a mistake
	}{
		{"0", 0}, {"512MiB", 512 << 20}, {"8GB", 8e9}, {" 3 KiB ", 3 << 10}, {"7B", 7}, {"1TiB", 1 << 40}, {"1048576", 1 << 20},
		{"-1", -1}, {"1.5GiB", -1}, {"GiB", -1}, {"9223372036854775807KiB", -1}, {"1PiB", -1}, {"", -1},
	}
	for _, tt := range tests {
		var s Size
		err := s.UnmarshalText([]byte(tt.text))
		if tt.want < 0 {
			if err == nil {
				t.Errorf("%q is %d, want a mistake", tt.text, s)
			}
			continue
		}
		if err != nil || int64(s) != tt.want {
			t.Errorf("%q = %d, %v; want %d", tt.text, s, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "http: {listen: x}", "sources: {a: {kind: webhook}}", "a: &a [*a]", "log: {max_age: 30d}", "rules: [a, b]", "- x", "? {a: b}\n: c", "<<: {http: 1}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse("f.yaml", []byte(s))
		if err == nil && (c.Workers.Concurrency < 1 || c.Log.BatchRecords < 1 || c.Log.MaxBytes < 16<<20) {
			t.Fatalf("%q is taken as %+v", s, c)
		}
		if err != nil && len(lines(err)) == 0 {
			t.Fatalf("%q: no problem is named: %v", s, err)
		}
	})
}

// Two packages name the default: what the configuration shows must be what
// holds where nothing is configured.
func TestRedeliveryHasOneDefault(t *testing.T) {
	if got := time.Duration(Default().Dedup.Redelivery); got != rule.DefaultRedelivery {
		t.Errorf("the configuration says %v, the rules %v", got, rule.DefaultRedelivery)
	}
}

// Limits may be one, and a key that there is not is told at its place.
func TestLimits(t *testing.T) {
	c, err := Parse("s.yaml", []byte("limits: {devices: 10%/1h, by: [device.site, device.role]}\n"))
	if want := []Limit{{Devices: "10%/1h", By: []string{"device.site", "device.role"}, Line: 1, Col: 9}}; err != nil || !reflect.DeepEqual(c.Limits, want) {
		t.Errorf("limits = %+v, %v", c.Limits, err)
	}
	for text, want := range map[string]string{
		"limits:\n  - {run: 5/h}\n":         `s.yaml:2:6: unknown key "run" in limits[], did you mean "runs"?`,
		"limits: 5/h\n":                     "s.yaml:1:9: expected a list, found text",
		"limits: [{runs: 5/h, by: {a: b}}]": "s.yaml:1:26: want a text or a list of texts",
	} {
		_, err := Parse("s.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
