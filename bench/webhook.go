package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// siteRules is a rule set that the events of the load pass through without
// setting off a run: what most of a network's events do.
const siteRules = `rules:
  - name: core-link
    on: interface_down
    when: device.role == "core"
    do: [{log: {message: "core: ${event.device} ${event.interface}"}}]
  - name: border-bgp
    on: bgp_neighbor_down
    when: event.device == "border-01"
    do: [{log: {message: "${event.device} ${event.data.neighbor}"}}]
  - name: reboot
    on: device_reboot
    do: [{log: {message: "${event.device} came up again"}}]
`

const siteDevices = `devices:
  - {name: core-01, address: 192.0.2.1, role: core, platform: iosxe, site: fra1}
  - {name: border-01, address: 192.0.2.2, role: border, platform: iosxr, site: fra1}
`

// site is a configuration with the sources given.
func site(sources string) map[string]string {
	return map[string]string{
		"signalbox.yaml": "http: {listen: HTTPADDR}\nsources:\n" + sources + "inventory: [devices.yaml]\nrules: rules/\n",
		"devices.yaml":   siteDevices, "rules/site.yaml": siteRules}
}

const webhookBody = `{"event_type":"interface_down","device":"switch-01","interface":"Eth` + slot + `/1","timestamp":1640000000}`

func webhookBatch(n int) []byte {
	b := []byte{'['}
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, webhookBody...)
	}
	return append(b, ']')
}

// contestant is a server that takes webhooks.
type contestant struct {
	name, addr, path string
	*process
	rates []float64
	cpus  time.Duration
	n     int
	last  load
}

// webhooks lets the three servers take turns, so that what else runs on the
// machine hits them alike; the figure is the median of the turns.
func webhooks(ctx context.Context, b *bench) ([]row, error) {
	bareP, bareAddr, err := b.peer(ctx, "http")
	if err != nil {
		return nil, err
	}
	defer bareP.kill()
	syncP, syncAddr, err := b.peer(ctx, "fdatasync")
	if err != nil {
		return nil, err
	}
	defer syncP.kill()
	s, err := b.start(ctx, "webhook", site("  w: {kind: webhook, auth: {none: true}}\n"))
	if err != nil {
		return nil, err
	}
	defer s.close()
	var rows []row
	var base atomic.Int64
	for _, batch := range []int{1, 100} {
		body := []byte(webhookBody)
		if batch > 1 {
			body = webhookBatch(batch)
		}
		all := []*contestant{
			{name: "bare net/http handler", addr: bareAddr, path: "/", process: bareP},
			{name: "handler, fdatasync in group commit", addr: syncAddr, path: "/", process: syncP},
			{name: "Signalbox", addr: s.http, path: "/webhook/w", process: &s.process},
		}
		for turn := range b.pick(3, 1) {
			for _, c := range all {
				wait := func() {}
				if c.process == &s.process && turn == 0 {
					wait = s.profile(ctx, fmt.Sprintf("webhook-%d", batch), b.seconds(4))
				}
				if err := c.turn(ctx, b, body, &base); err != nil {
					return rows, fmt.Errorf("%s: %w", c.name, err)
				}
				wait()
			}
			// What it decides after the answer is part of its processor time.
			before := s.cpu()
			if _, err := s.settle(ctx, time.Minute); err != nil {
				return rows, err
			}
			all[2].cpus += s.cpu() - before
		}
		rows = append(rows, webhookRows(all, batch)...)
	}
	_, err = s.audit(ctx)
	return rows, err
}

func (c *contestant) turn(ctx context.Context, b *bench, body []byte, base *atomic.Int64) (err error) {
	before := c.cpu()
	c.last, err = httpLoad(ctx, c.addr, c.path, body, b.conns, b.seconds(4), base)
	c.cpus += c.cpu() - before
	c.n += c.last.requests
	c.rates = append(c.rates, perSecond(c.last.requests, c.last.took))
	return err
}

func webhookRows(all []*contestant, batch int) []row {
	what := "one event a request"
	if batch > 1 {
		what = fmt.Sprintf("%d events a request", batch)
	}
	mine := median(all[2].rates)
	var rows []row
	for _, c := range all {
		v := median(c.rates)
		r := row{what: c.name + ", " + what, cpu: each(c.cpus, c.n),
			figure: fmt.Sprintf("%s; p50 %s, p99 %s", rate(v, "requests"), ms(c.last.p50), ms(c.last.p99))}
		if batch > 1 {
			r.figure += "; " + rate(v*float64(batch), "events")
		}
		if c == all[2] {
			ratio := mine / median(all[1].rates)
			r.beside = times(ratio, "fdatasync") + ", " + times(mine/median(all[0].rates), "bare")
			r = r.want("≥ 0.80 × fdatasync", ratio >= 0.8)
		}
		rows = append(rows, r)
	}
	return rows
}
