package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"neutrino"
	"neutrino/host/ovsdb"
	"neutrino/lab"
	"neutrino/plan/names"
	"neutrino/vif"
)

const (
	singlePorts = 100
	burstPorts  = 100
	burstRounds = 5
)

func (p port) row() ovsdb.Plug {
	return ovsdb.Plug{Device: names.QVO(neutrino.ID(p.id)), Bridge: "br-int", PortID: p.id, MAC: p.mac}
}

// wire measures from an interface's row in OVSDB to its port's ACTIVE in the
// API.
func (b *bench) wire(ctx context.Context) ([]figure, error) {
	c, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	took, err := c.singles(ctx)
	if err != nil {
		return nil, err
	}
	f := figure{name: "interface in OVSDB → port ACTIVE, one at a time", target: "p50 ≤ 30 ms, p99 ≤ 100 ms"}.take(took)
	f.atMost("p50", f.p50, 30*time.Millisecond)
	f.atMost("p99", f.p99, 100*time.Millisecond)
	took, err = c.bursts(ctx)
	if err != nil {
		return []figure{f}, err
	}
	all := figure{
		name: fmt.Sprintf("%d interfaces at once on one host → all ACTIVE", burstPorts), target: "all ≤ 2 s",
		also: fmt.Sprintf("%d rounds", burstRounds),
	}.take(took)
	all.atMost("the longest", all.longest, 2*time.Second)
	return []figure{f, all}, nil
}

// appearances notes when interfaces appear in a host's OVSDB.
type appearances struct {
	mu   sync.Mutex
	seen map[string]time.Time // by port
	more chan struct{}
	*follow
}

func watchAppearances(ctx context.Context, h *lab.Host) (*appearances, error) {
	a := &appearances{seen: map[string]time.Time{}, more: make(chan struct{}, 1)}
	f, err := followDatabase(ctx, databaseSocket(h), map[string][]string{"Interface": {"external_ids"}}, func(u update) {
		id := texts(u.fresh["external_ids"])["iface-id"]
		a.mu.Lock()
		defer a.mu.Unlock()
		if _, known := a.seen[id]; known || id == "" {
			return
		}
		a.seen[id] = u.at
		select {
		case a.more <- struct{}{}:
		default:
		}
	})
	a.follow = f
	return a, err
}

// await is when the port's interface appeared.
func (a *appearances) await(ctx context.Context, id string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		a.mu.Lock()
		at, ok := a.seen[id]
		a.mu.Unlock()
		if ok {
			return at, nil
		}
		select {
		case <-ctx.Done():
			return at, fmt.Errorf("the interface of port %s does not appear: %w", id, ctx.Err())
		case <-a.more:
		}
	}
}

// singles plugs ports one after the other as os-vif does.
func (c *cloud) singles(ctx context.Context) (took []time.Duration, err error) {
	h, err := c.lab.Host("compute1")
	if err != nil {
		return nil, err
	}
	ports, err := c.ports(ctx, h, singlePorts)
	if err != nil {
		return nil, err
	}
	a, err := watchAppearances(ctx, h)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	for _, p := range ports {
		one, err := c.single(ctx, h, p, a)
		if err != nil {
			return nil, inPlace(h.Name, err)
		}
		took = append(took, one)
	}
	return took, nil
}

func (c *cloud) single(ctx context.Context, h *lab.Host, p port, a *appearances) (time.Duration, error) {
	plugged := make(chan error, 1)
	go func() {
		plugged <- within(hostNamespace(h), func() error { return vif.Plug(ctx, options(h, p)) })
	}()
	appeared, err := a.await(ctx, p.id)
	if err == nil {
		err = until(ctx, patience, time.Millisecond, func() error {
			o, err := c.client.Get(ctx, "ports", p.id)
			if err == nil && o.Text("status") != string(neutrino.PortActive) {
				err = fmt.Errorf("port %s is %s", p.id, o.Text("status"))
			}
			return err
		})
	}
	took := time.Since(appeared)
	return took, errors.Join(err, <-plugged)
}

// bursts adds the rows of many ports at once, several times; each sample is
// the time from the first row to the answer in which every port is ACTIVE.
func (c *cloud) bursts(ctx context.Context) (took []time.Duration, err error) {
	h, err := c.lab.Host("compute3")
	if err != nil {
		return nil, err
	}
	for range burstRounds {
		one, err := c.burst(ctx, h)
		if err != nil {
			return nil, inPlace(h.Name, err)
		}
		took = append(took, one)
	}
	return took, nil
}

// burst is one round with fresh ports, which go again at its end.
func (c *cloud) burst(ctx context.Context, h *lab.Host) (took time.Duration, err error) {
	ports, err := c.ports(ctx, h, burstPorts)
	if err != nil {
		return 0, err
	}
	if err := c.prepare(ctx, h, ports); err != nil {
		return 0, err
	}
	a, err := watchAppearances(ctx, h)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	plugged := make(chan error, 1)
	go func() { plugged <- c.plugRows(ctx, h, ports) }()
	err = c.awaitStatus(ctx, ports, neutrino.PortActive)
	done := time.Now()
	if err = errors.Join(err, <-plugged); err != nil {
		return 0, err
	}
	first := done
	for _, p := range ports {
		at, err := a.await(ctx, p.id)
		if err != nil {
			return 0, err
		}
		if at.Before(first) {
			first = at
		}
	}
	return done.Sub(first), c.remove(ctx, h, ports)
}

// remove takes ports away, from the host and from the API.
func (c *cloud) remove(ctx context.Context, h *lab.Host, ports []port) error {
	err := within(hostNamespace(h), func() error {
		for _, p := range ports {
			if err := vif.Unplug(ctx, options(h, p)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range ports {
		if err := c.client.Delete(ctx, "ports", p.id); err != nil {
			return err
		}
	}
	return until(ctx, patience, 20*time.Millisecond, func() error {
		st, err := c.status(ctx, h)
		if err == nil && len(st.Pending)+len(st.Errors) > 0 {
			err = fmt.Errorf("the agent has %d pending and %d errors after the ports are gone", len(st.Pending), len(st.Errors))
		}
		return err
	})
}
