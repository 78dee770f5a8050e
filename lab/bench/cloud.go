package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"neutrino"
	"neutrino/agent"
	"neutrino/lab"
	"neutrino/plan/names"
	"neutrino/vif"
)

// computes is how many compute hosts the lab has.
const computes = 3

// cloud is the lab that the figures share.
type cloud struct {
	lab    *lab.Lab
	client *lab.Client
	subnet int // of the networks made, for addresses of their own
}

// open brings the lab up when the first figure needs it. The seed's virtual
// machine has proven it and goes: it would only take processor time.
func (b *bench) open(ctx context.Context) (*cloud, error) {
	if b.cloud != nil {
		return b.cloud, nil
	}
	l, err := lab.New(ctx, lab.Settings{Name: b.name, Binary: b.binary, Computes: computes})
	if err != nil {
		return nil, err
	}
	if l.Running(ctx) {
		return nil, fmt.Errorf("a lab %q is running: choose another name, or take it down", b.name)
	}
	l.Progress = os.Stderr
	c := &cloud{lab: l}
	b.cloud = c // before Up, so that close takes away what a half one left
	if _, err := l.Up(ctx, lab.UpOptions{}); err != nil {
		return nil, err
	}
	c.client = l.Client()
	return c, l.RemoveInstance(ctx, lab.SeedVM)
}

// close takes the lab away, also after an interrupt.
func (b *bench) close(ctx context.Context) error {
	if b.cloud == nil || b.keep {
		return nil
	}
	return b.cloud.lab.Down(context.WithoutCancel(ctx))
}

// until asks again and again until the answer is nil or the time is up.
func until(ctx context.Context, limit, every time.Duration, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case <-tick.C:
		}
	}
}

// patience is how long something may take that takes milliseconds.
const patience = 20 * time.Second

// port is a port that is or will be plugged on a host.
type port struct{ id, mac string }

// ports creates a network with a subnet and ports on it that are bound to the
// host, in one request, and waits until the host's agent has planned them.
func (c *cloud) ports(ctx context.Context, h *lab.Host, n int) ([]port, error) {
	c.subnet++
	network, err := c.client.Create(ctx, "networks", lab.Object{"name": fmt.Sprintf("bench-%d", c.subnet)})
	if err != nil {
		return nil, err
	}
	_, err = c.client.Create(ctx, "subnets", lab.Object{
		"network_id": network.ID(), "ip_version": 4, "cidr": fmt.Sprintf("10.9.%d.0/24", c.subnet),
	})
	if err != nil {
		return nil, err
	}
	one := lab.Object{"network_id": network.ID(), "binding:host_id": h.Name, "device_owner": neutrino.OwnerComputePrefix + neutrino.DefaultZone}
	var made struct{ Ports []lab.Object }
	many := lab.Request{Method: http.MethodPost, Path: "/v2.0/ports", Body: map[string]any{"ports": slices.Repeat([]lab.Object{one}, n)}}
	if err := c.client.Do(ctx, many, &made); err != nil {
		return nil, err
	}
	var out []port
	for _, p := range made.Ports {
		out = append(out, port{p.ID(), p.Text("mac_address")})
	}
	return out, c.awaitPlanned(ctx, h, out)
}

// awaitPlanned waits until nothing but their interfaces is missing of the ports.
func (c *cloud) awaitPlanned(ctx context.Context, h *lab.Host, ports []port) error {
	return until(ctx, patience, 20*time.Millisecond, func() error {
		st, err := c.status(ctx, h)
		if err != nil {
			return err
		}
		waits := map[string]bool{}
		for _, p := range st.Pending {
			waits[p.Object] = true
		}
		for _, p := range ports {
			if !waits[neutrino.PortObject(neutrino.ID(p.id))] {
				return fmt.Errorf("%s: the agent does not wait for the interface of port %s: %d pending, errors %v", h.Name, p.id, len(st.Pending), st.Errors)
			}
		}
		return nil
	})
}

func (c *cloud) status(ctx context.Context, h *lab.Host) (agent.Status, error) {
	return agent.ReadStatus(ctx, agent.SocketPath(stateDir(h)))
}

// options are how os-vif plugs a port on the host; the calling thread has to be
// in the host's network namespace.
func options(h *lab.Host, p port) vif.Options {
	return vif.Options{PortID: p.id, MAC: p.mac, OVSDBSocket: "unix:" + databaseSocket(h), Tap: vif.Tap{Kind: vif.TapTun}}
}

// prepare makes the devices of ports and leaves their rows in OVSDB out.
func (c *cloud) prepare(ctx context.Context, h *lab.Host, ports []port) error {
	return within(hostNamespace(h), func() error {
		for _, p := range ports {
			if err := vif.Prepare(ctx, options(h, p)); err != nil {
				return err
			}
		}
		return nil
	})
}

// plugRows adds the rows of prepared ports, all at once.
func (c *cloud) plugRows(ctx context.Context, h *lab.Host, ports []port) error {
	ctx, cancel := context.WithCancel(ctx)
	db := newDatabase(h)
	ran := make(chan error, 1)
	go func() { ran <- db.Run(ctx) }()
	var all errgroup.Group
	for _, p := range ports {
		all.Go(func() error { return db.PlugVIF(ctx, p.row()) })
	}
	err := all.Wait()
	cancel()
	<-ran // ends with the context
	return err
}

// inStatus says how many of the ports have the status in the API.
func (c *cloud) inStatus(ctx context.Context, ports []port, status neutrino.PortStatus) (int, error) {
	var answer struct{ Ports []lab.Object }
	err := c.client.Do(ctx, lab.Request{Method: http.MethodGet, Path: "/v2.0/ports?fields=id&status=" + string(status)}, &answer)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, p := range ports {
		if slices.ContainsFunc(answer.Ports, func(o lab.Object) bool { return o.ID() == p.id }) {
			n++
		}
	}
	return n, nil
}

// awaitStatus waits until all of the ports have the status in the API.
func (c *cloud) awaitStatus(ctx context.Context, ports []port, status neutrino.PortStatus) error {
	return until(ctx, patience, 5*time.Millisecond, func() error {
		n, err := c.inStatus(ctx, ports, status)
		if err == nil && n < len(ports) {
			err = fmt.Errorf("%d of %d ports are %s", n, len(ports), status)
		}
		return err
	})
}

// place is one end of traffic: an address in a namespace.
type place struct {
	name      string
	namespace string
	address   netip.Addr
}

// guests are light instances with their leases, one on each compute host.
func (c *cloud) guests(ctx context.Context) ([]place, error) {
	var out []place
	for n := 1; n <= computes; n++ {
		p, err := c.guest(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("light instance on compute%d: %w", n, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func (c *cloud) guest(ctx context.Context, n int) (place, error) {
	p := place{name: fmt.Sprintf("light%d", n)}
	h, err := c.lab.Host(fmt.Sprintf("compute%d", n))
	if err != nil {
		return p, err
	}
	g, err := c.lab.AddInstance(ctx, lab.InstanceSpec{Name: p.name, Kind: lab.KindNamespace, Host: h.Name})
	if err != nil {
		return p, err
	}
	if err := g.AwaitActive(ctx); err != nil {
		return p, err
	}
	if _, err := g.AwaitLease(ctx); err != nil {
		return p, err
	}
	p.namespace = namedNamespace(h, g.Name)
	p.address, err = netip.ParseAddr(g.Address)
	return p, err
}

// dhcp is where the seed network's DHCP server is, the other end of the
// network.
func (c *cloud) dhcp(ctx context.Context) (place, error) {
	found, err := c.client.List(ctx, "ports", lab.Query{"device_owner": neutrino.OwnerDHCP})
	if err != nil {
		return place{}, err
	}
	h, err := c.lab.Host("network1")
	if err != nil {
		return place{}, err
	}
	for _, o := range found {
		if slices.Contains(o.Addresses(), lab.SeedDHCP) {
			p := place{name: "DHCP server", namespace: namedNamespace(h, names.DHCPNamespace(neutrino.ID(o.Text("network_id"))))}
			p.address, err = netip.ParseAddr(lab.SeedDHCP)
			return p, err
		}
	}
	return place{}, fmt.Errorf("no DHCP port has the address %s", lab.SeedDHCP)
}
