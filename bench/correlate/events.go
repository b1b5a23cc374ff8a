package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
)

// happening is one event as all that are compared read it: a line of JSON.
type happening struct {
	T         float64 `json:"t"` // seconds since the beginning
	Type      string  `json:"type"`
	Device    string  `json:"device"`
	Interface string  `json:"interface"`
}

// scenes are what happens to one device; "a" and "b" are its uplinks. No two
// times of one scene are nearly a window of 2 s apart, as clocks on walls are
// not exact: that is not what is compared.
var scenes = [][]happening{
	// five failed logins; four and one too late; seven, of which two are left
	scene("0.0 login", "0.3 login", "0.6 login", "0.9 login", "1.2 login"),
	scene("0.0 login", "0.3 login", "0.6 login", "0.9 login", "2.6 login"),
	scene("0.0 login", "0.2 login", "0.4 login", "0.6 login", "0.8 login", "1.0 login", "1.2 login"),
	// a burst that begins slowly: the last five are within a window
	scene("0.0 login", "1.0 login", "1.3 login", "1.6 login", "2.3 login", "2.6 login"),
	// down and up; down and not up; down, up, down; up with no down before
	scene("0.0 down", "1.0 up"),
	scene("0.0 down", "3.0 up"),
	scene("0.0 down", "0.5 up", "1.0 down", "3.5 up"),
	scene("0.0 up"),
	// down twice and up once, when the first is over its time
	scene("0.0 down", "1.0 down", "2.5 up"),
	// both uplinks in either order; too far apart; one of them twice
	scene("0.0 a", "0.5 b"),
	scene("0.0 b", "0.5 a"),
	scene("0.0 a", "2.5 b"),
	scene("0.0 a", "0.5 a", "1.0 b"),
	scene("0.0 a", "1.5 a", "2.5 b"),
	// change, then neighbour lost; the other way round; too late; twice
	scene("0.0 change", "0.5 lost"),
	scene("0.0 lost", "0.5 change"),
	scene("0.0 change", "2.5 lost"),
	scene("0.0 change", "0.3 lost", "0.6 lost"),
	scene("0.0 change", "0.3 change", "0.6 lost", "0.9 lost"),
}

func scene(lines ...string) []happening {
	var out []happening
	for _, line := range lines {
		var at float64
		var what string
		if _, err := fmt.Sscanf(line, "%g %s", &at, &what); err != nil {
			panic(line) // a constant of this file
		}
		h := happening{T: at}
		switch what {
		case "login":
			h.Type = "login_failed"
		case "down":
			h.Type, h.Interface = "interface_down", "access"
		case "up":
			h.Type, h.Interface = "interface_up", "access"
		case "a", "b":
			h.Type, h.Interface = "interface_down", "uplink-"+what
		case "change":
			h.Type = "config_change"
		case "lost":
			h.Type = "bgp_neighbor_down"
		}
		out = append(out, h)
	}
	return out
}

// deviceNames are r01, r02 and so on.
func deviceNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("r%02d", i+1)
	}
	return out
}

// events draws scenes for each device, one after the other, until seconds are
// over; the same seed gives the same events.
func events(seed uint64, devices []string, seconds float64) []happening {
	r := rand.New(rand.NewPCG(seed, 1))
	var out []happening
	for _, d := range devices {
		at := 0.5 + float64(r.IntN(250))/100
		for at < seconds-4 {
			s := scenes[r.IntN(len(scenes))]
			for _, h := range s {
				h.T, h.Device = round(at+h.T), d
				out = append(out, h)
			}
			// So long that nothing of this scene is in a window with the next.
			at += s[len(s)-1].T + 2.7 + float64(r.IntN(100))/100
		}
	}
	slices.SortStableFunc(out, func(a, b happening) int {
		if a.T != b.T {
			return int((a.T - b.T) * 1000)
		}
		return strings.Compare(a.Device, b.Device)
	})
	return out
}

// round leaves milliseconds.
func round(t float64) float64 { return float64(int64(t*1000+0.5)) / 1000 }

func write(path string, events []happening) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for i := range events {
		if err := enc.Encode(&events[i]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
