package normalize

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestDump(t *testing.T) {
	files := strings.Fields(os.Getenv("DUMP"))
	if len(files) == 0 {
		t.Skip()
	}
	n, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		fh, _ := os.Open(f)
		sc := bufio.NewScanner(fh)
		sc.Buffer(nil, 1<<24)
		for sc.Scan() {
			var r struct {
				ID, OS, Raw, Kind, Vendor string
				Our                       string `json:"our_class"`
				Body                      string
				Headers                   map[string]string
			}
			json.Unmarshal(sc.Bytes(), &r)
			in := Input{Source: "x", Form: Syslog, Raw: []byte(r.Raw), Received: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Peer: "192.0.2.1:514"}
			if r.Body != "" {
				in.Form = Payload
				in.Raw = []byte(r.Body)
				in.Mapping = strings.TrimSuffix(r.Kind, "-event-broker")
				in.Meta = r.Headers
			}
			ex := n.Explain(in)
			mark := " "
			if ex.Result.Mapped {
				mark = "M"
			}
			raw := r.Raw
			if len(raw) > 260 {
				raw = raw[:260]
			}
			d := string(ex.Result.Event.Data)
			if len(d) > 400 {
				d = d[:400]
			}
			if !ex.Result.Mapped {
				d = ex.Result.Why
			}
			fmt.Printf("%s|%s|%s|%s|%s|dev=%s if=%s|tag=%s|%s|%s|REJ=%s\n", mark, r.OS, r.Our, ex.Result.Event.Type, ex.Result.Event.Mapping, ex.Result.Event.Device, ex.Result.Event.Interface, ex.Key, strings.TrimSpace(raw), d, ex.Result.Reject)
		}
	}
}
