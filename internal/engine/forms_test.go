package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/correlate"
)

type formTest struct {
	name string
	log  []string
	want []string
}

func runForms(t *testing.T, tests []formTest, rules ...planned) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, told(t, engineOf(rules...), logOf(tt.log...))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCount(t *testing.T) {
	runForms(t, []formTest{
		{"the third within the window finds all three", []string{"0s fail sw1", "9s fail sw1", "9.999s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, run c [1 2 3]"}},
		{"exactly the window apart is not within it", []string{"0s fail sw1", "5s fail sw1", "10s fail sw1", "14s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, c joined", "5 decided, run c [2 3 4]"}},
		{"each key for itself", []string{"0s fail sw1", "1s fail sw2", "2s fail sw1", "3s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, c joined", "5 decided, run c [1 3 4]"}},
		{"what made a finding is used up", []string{"0s fail sw1", "1s fail sw1", "2s fail sw1", "3s fail sw1", "4s fail sw1", "5s fail sw1"},
			[]string{"2 decided, c joined", "3 decided, c joined", "4 decided, run c [1 2 3]", "5 decided, c joined", "6 decided, c joined", "7 decided, run c [4 5 6]"}},
	}, planned{name: "c", on: []string{"fail"}, plan: with(planOf(correlate.Count, 10*time.Second), func(p *correlate.Plan) { p.AtLeast = 3 })})
}
