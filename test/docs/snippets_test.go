package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"signalbox/internal/daemon"
)

var (
	fence      = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	secretName = regexp.MustCompile(`secret\('([a-z_]+)'\)`)
	pemFile    = regexp.MustCompile(`\btls: \{[^}]*\}`)
)

// inventory is what the rules in the documentation reckon with.
const inventory = `
sites: {berlin: {region: emea, oncall: net-emea}}
devices:
  - {name: core-berlin-01, site: berlin, role: core, root: true}
  - {name: acc-berlin-02, site: berlin}
  - {name: acc-berlin-03, site: berlin}
  - {name: acc-berlin-04, site: berlin}
  - {name: acc-berlin-01, address: 192.0.2.11, site: berlin, role: access, platform: cisco_ios, tags: [pci], rack: 12,
     interfaces: {GigabitEthernet0/24: {role: uplink, peer: core-berlin-01}}}
`

// TestSnippets loads every example in the pages as Signalbox would: rules,
// conditions, inventories, mappings and parts of a configuration.
func TestSnippets(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		text := read(t, page)
		for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
			body := text[at[2]:at[3]]
			files := snippet(body)
			if files == nil {
				continue
			}
			found++
			line := 1 + strings.Count(text[:at[0]], "\n")
			t.Run(fmt.Sprintf("%s:%d", page, line), func(t *testing.T) { load(t, body, files) })
		}
	}
	if found < 15 {
		t.Errorf("only %d examples found", found)
	}
}

// snippet gives the files that an example stands for; nil is for what cannot be
// loaded by itself.
func snippet(body string) map[string]string {
	first := body
	for strings.HasPrefix(first, "#") {
		_, first, _ = strings.Cut(first, "\n")
	}
	key, _, _ := strings.Cut(first, ":")
	config := ""
	files := map[string]string{"devices.yaml": inventory}
	switch key {
	case "rules":
		if strings.HasPrefix(first, "rules:\n") {
			files["rules/rules.yaml"] = body
			break
		}
		config = body
	case "when":
		var b strings.Builder
		b.WriteString("rules:\n")
		for i, line := range strings.Split(strings.TrimSpace(body), "\n") {
			fmt.Fprintf(&b, "  - {name: r%d, on: interface_down, do: [{log: {message: r%d}}]}\n", i, i)
			fmt.Fprintf(&b, "  - name: w%d\n    on: interface_down\n    %s\n    do: [{log: {message: w%d}}]\n", i, line, i)
		}
		files["rules/rules.yaml"] = b.String()
	case "do":
		files["rules/rules.yaml"] = "rules:\n  - name: r\n    on: interface_down\n    " +
			strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n    ") + "\n"
	case "retry":
		files["rules/rules.yaml"] = "rules:\n  - name: r\n    on: interface_down\n    do: [{log: {message: x}}]\n    " + body
	case "sites", "devices":
		files["devices.yaml"] = body
	case "form":
		files["mappings/m.yaml"] = body
	case "sources", "http", "handlers", "secrets", "actions", "log", "nats", "dedup", "workers":
		config = body
	default:
		return nil
	}
	if strings.Contains(config, "inventory:") {
		delete(files, "devices.yaml")
		files["inventory/devices.yaml"] = inventory
	} else {
		config += "\ninventory: [devices.yaml]\n"
	}
	if !strings.Contains(config, "rules:") {
		config += "rules: rules/\n"
	}
	if !strings.Contains(config, "mappings:") {
		config += "mappings: mappings/\n"
	}
	files["signalbox.yaml"] = config
	return files
}

func load(t *testing.T, body string, files map[string]string) {
	dir := t.TempDir()
	secrets := map[string]string{}
	for _, m := range secretName.FindAllStringSubmatch(body, -1) {
		secrets[m[1]] = m[1] + ": x"
	}
	if len(secrets) > 0 {
		files["signalbox.yaml"] += "secrets:\n"
		for _, line := range secrets {
			files["signalbox.yaml"] += "  " + line + "\n"
		}
	}
	for _, m := range envName.FindAllStringSubmatch(body, -1) {
		value := "0123456789abcdef"
		if strings.HasSuffix(m[1], "URL") {
			value = "amqp://guest:guest@127.0.0.1:5672/"
		}
		t.Setenv(m[1], value)
	}
	// Certificates are not part of an example.
	files["signalbox.yaml"] = pemFile.ReplaceAllString(files["signalbox.yaml"], "")
	for _, folder := range []string{"rules", "mappings", "inventory", "handlers", "types", "mibs"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report, err := daemon.Check(filepath.Join(dir, "signalbox.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range report.Warnings {
		t.Error(w)
	}
}
