package docs

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"signalbox/internal/action/exec"
	httpaction "signalbox/internal/action/http"
	"signalbox/internal/action/logaction"
	"signalbox/internal/config"
	"signalbox/internal/secret"
	"signalbox/internal/source/rabbitmq"
	"signalbox/internal/source/snmp"
	"signalbox/internal/source/syslog"
	"signalbox/internal/source/webhook"
)

// TestConfiguration walks the configuration's types and wants a row for every
// key in its section of docs/configuration.md, with the default.
func TestConfiguration(t *testing.T) {
	sections := headings(read(t, "docs/configuration.md"))
	for _, s := range []struct {
		heading  string
		defaults any
	}{
		{"signalbox.yaml", config.Default()},
		{"webhook", webhook.DefaultConfig()},
		{"syslog", syslog.DefaultConfig()},
		{"snmp", snmp.DefaultConfig()},
		{"rabbitmq", rabbitmq.DefaultConfig()},
		{"actions.http", httpaction.DefaultConfig()},
		{"actions.exec", exec.DefaultConfig()},
		{"actions.log", logaction.DefaultConfig()},
		{"handlers", exec.DefaultHandlerConfig()},
	} {
		text, ok := sections[s.heading]
		if !ok {
			t.Errorf("no section %q", s.heading)
			continue
		}
		rows := map[string]string{}
		for _, line := range strings.Split(text, "\n") {
			if cells := strings.Split(line, "|"); len(cells) > 3 {
				for _, key := range strings.Split(cells[1], ",") {
					rows[strings.Trim(key, " `")] = cells[2]
				}
			}
		}
		walk(reflect.ValueOf(s.defaults), "", func(key string, v reflect.Value) {
			row, ok := rows[key]
			switch {
			case !ok:
				t.Errorf("%s: no row for the key %s", s.heading, key)
			case !says(row, v):
				t.Errorf("%s: %s: the default is %v, the row says %q", s.heading, key, v, row)
			}
			delete(rows, key)
		})
		for key := range rows {
			if key != "key" && strings.Trim(key, "-") != "" {
				t.Errorf("%s: there is no key %s", s.heading, key)
			}
		}
	}
}

func headings(text string) map[string]string {
	out := map[string]string{}
	for _, part := range strings.Split(text, "\n## ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		out[strings.Trim(title, "` ")] = body
	}
	return out
}

var (
	secretType = reflect.TypeOf(secret.Ref{})
	sectionT   = reflect.TypeOf(config.Section{})
)

// walk visits every key that has no keys below it.
func walk(v reflect.Value, at string, leaf func(string, reflect.Value)) {
	t := v.Type()
	switch {
	case t == secretType || t == sectionT:
		leaf(at, v)
	case t.Kind() == reflect.Pointer:
		walk(reflect.Zero(t.Elem()), at, leaf)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && t.Elem() != secretType:
		walk(reflect.Zero(t.Elem()), at+"[]", leaf)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "-" || name == "" {
				continue
			}
			key := name
			if at != "" {
				key = at + "." + name
			}
			walk(v.Field(i), key, leaf)
		}
	default:
		leaf(at, v)
	}
}

// says whether the cell has the default. Zero values need no word.
func says(cell string, v reflect.Value) bool {
	if !v.IsValid() || v.IsZero() {
		return true
	}
	var forms []string
	switch x := v.Interface().(type) {
	case time.Duration:
		forms = spans(x)
	case config.Duration:
		forms = spans(time.Duration(x))
	default:
		switch v.Kind() {
		case reflect.Int, reflect.Int64:
			forms = sizes(v.Int())
		case reflect.Slice, reflect.Map:
			forms = []string{fmt.Sprint(v.Index(0))}
		default:
			forms = []string{fmt.Sprint(v)}
		}
	}
	for _, f := range forms {
		if strings.Contains(cell, "`"+f+"`") {
			return true
		}
	}
	return false
}

func spans(d time.Duration) []string {
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	s = strings.TrimSuffix(s, "0m")
	out := []string{d.String(), s}
	if day := 24 * time.Hour; d%day == 0 {
		out = append(out, fmt.Sprintf("%dd", d/day))
	}
	return out
}

func sizes(n int64) []string {
	out := []string{fmt.Sprint(n)}
	for shift, unit := range map[int]string{10: "KiB", 20: "MiB", 30: "GiB"} {
		if n%(1<<shift) == 0 {
			out = append(out, fmt.Sprintf("%d%s", n>>shift, unit))
		}
	}
	return out
}
