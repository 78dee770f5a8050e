// Package l3 is a lab's crowded router, and the figure that is measured on it:
// how soon a floating IP answers from outside once it is associated.
package l3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"neutrino/lab"
)

// Size is how crowded a router is.
type Size struct {
	Interfaces int // at most 200
	Floating   int // at most 900
}

// Crowd is a router with many interfaces and floating IPs, and two light
// instances behind it.
type Crowd struct {
	Router  string     // id
	Steady  netip.Addr // floating IP of the first instance, which stays
	Moving  netip.Addr // that of the second, which comes and goes
	Guest   *lab.Guest // the first instance
	lab     *lab.Lab
	outside *lab.Host
	moving  string // id of the floating IP
	spare   *lab.Guest
}

// The crowd's addresses outside are of the benchmarking network (RFC 2544).
const (
	crowdName    = "crowd"
	crowdOutside = "198.18.0.0/22"
	crowdGateway = "198.18.0.1"
	crowdSource  = "198.18.0.2" // the router's
)

// NewCrowd makes a crowded router on a running lab, which keeps it.
func NewCrowd(ctx context.Context, l *lab.Lab, size Size) (*Crowd, error) {
	c := &Crowd{lab: l}
	var err error
	if c.outside, err = l.Host(lab.RoleOutside); err != nil {
		return nil, err
	}
	if err = c.gateway(ctx); err == nil {
		err = c.router(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("crowd: %w", err)
	}
	inner, err := c.interfaces(ctx, size.Interfaces)
	if err != nil {
		return nil, fmt.Errorf("crowd: interfaces: %w", err)
	}
	for name, g := range map[string]**lab.Guest{crowdName + "-a": &c.Guest, crowdName + "-b": &c.spare} {
		if *g, err = c.guest(ctx, name, inner[0]); err != nil {
			return nil, fmt.Errorf("crowd: %s: %w", name, err)
		}
	}
	if err := c.floating(ctx, inner, size.Floating); err != nil {
		return nil, fmt.Errorf("crowd: floating IPs: %w", err)
	}
	return c, nil
}

// gateway gives the outside an address in the crowd's own external subnet.
func (c *Crowd) gateway(ctx context.Context) error {
	out, err := c.outside.Run(ctx, "ip", "-o", "-4", "address", "show", "to", lab.OutsideGateway)
	if err != nil {
		return err
	}
	words := strings.Fields(out) // "2: eth0    inet 172.24.4.225/28 …"
	if len(words) < 2 {
		return fmt.Errorf("the outside has no address %s", lab.OutsideGateway)
	}
	bits := crowdOutside[strings.IndexByte(crowdOutside, '/'):]
	_, err = c.outside.Run(ctx, "ip", "address", "replace", crowdGateway+bits, "dev", words[1])
	return err
}

// router makes the router with its gateway on the crowd's external subnet.
func (c *Crowd) router(ctx context.Context) error {
	api := c.lab.Client()
	public, err := api.List(ctx, "networks", lab.Query{"name": lab.SeedPublic})
	if err != nil || len(public) != 1 {
		return fmt.Errorf("%d networks %s (%w)", len(public), lab.SeedPublic, err)
	}
	subnet, err := api.Ensure(ctx, "subnets", lab.Query{"name": crowdName}, lab.Object{"name": crowdName, "network_id": public[0].ID(),
		"ip_version": 4, "cidr": crowdOutside, "gateway_ip": crowdGateway, "enable_dhcp": false})
	if err != nil {
		return err
	}
	r, err := api.Create(ctx, "routers", lab.Object{"name": crowdName, "external_gateway_info": lab.Object{
		"network_id": public[0].ID(), "external_fixed_ips": []lab.Object{{"subnet_id": subnet.ID(), "ip_address": crowdSource}}}})
	c.Router = r.ID()
	return err
}

// interfaces makes networks and connects the router to them. The first one has
// DHCP, for the instances.
func (c *Crowd) interfaces(ctx context.Context, n int) ([]string, error) {
	api := c.lab.Client()
	var ids []string
	for i := range n {
		network, err := api.Create(ctx, "networks", lab.Object{"name": fmt.Sprintf("%s-%d", crowdName, i)})
		if err != nil {
			return nil, err
		}
		subnet, err := api.Create(ctx, "subnets", lab.Object{"network_id": network.ID(), "ip_version": 4,
			"cidr": fmt.Sprintf("10.64.%d.0/24", i), "enable_dhcp": i == 0})
		if err != nil {
			return nil, err
		}
		if err := c.lab.AddInterface(ctx, c.Router, subnet.ID()); err != nil {
			return nil, err
		}
		ids = append(ids, network.ID())
	}
	return ids, nil
}

func (c *Crowd) guest(ctx context.Context, name, network string) (*lab.Guest, error) {
	g, err := c.lab.AddInstance(ctx, lab.InstanceSpec{Name: name, Kind: lab.KindNamespace, Network: network})
	if err != nil {
		return nil, err
	}
	soon, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	if err := g.AwaitActive(soon); err != nil {
		return nil, err
	}
	_, err = g.AwaitLease(ctx)
	return g, err
}

// floating associates floating IPs: with the two instances, and with ports that
// nobody has plugged.
func (c *Crowd) floating(ctx context.Context, networks []string, n int) error {
	api := c.lab.Client()
	var ports []lab.Object
	for i := range n - 2 {
		ports = append(ports, lab.Object{"network_id": networks[i%len(networks)]})
	}
	var made struct{ Ports []lab.Object }
	many := lab.Request{Method: http.MethodPost, Path: "/v2.0/ports", Body: map[string]any{"ports": ports}}
	if err := api.Do(ctx, many, &made); err != nil {
		return err
	}
	all := append(made.Ports, lab.Object{"id": c.Guest.PortID}, lab.Object{"id": c.spare.PortID})
	external, err := api.Get(ctx, "routers", c.Router)
	if err != nil {
		return err
	}
	gateway, _ := external["external_gateway_info"].(map[string]any)
	address := netip.MustParsePrefix(crowdOutside).Addr()
	for range 256 {
		address = address.Next() // beyond the router's own
	}
	for i, p := range all {
		address = address.Next()
		f, err := api.Create(ctx, "floatingips", lab.Object{"floating_network_id": gateway["network_id"],
			"floating_ip_address": address.String(), "port_id": p.ID()})
		if err != nil {
			return err
		}
		switch i {
		case n - 2:
			c.Steady = address
		case n - 1:
			c.Moving, c.moving = address, f.ID()
		}
	}
	return nil
}

// The paces of a measurement.
const (
	fine    = time.Millisecond
	silence = 30 * time.Millisecond // without a reply: the floating IP is gone
	answers = 10 * time.Second
)

// Associations associates the moving floating IP again and again, and returns
// how long each took: from the request to the API to the first reply that the
// outside gets, which has forgotten the address's MAC before.
func (c *Crowd) Associations(ctx context.Context, rounds int) ([]time.Duration, error) {
	var took []time.Duration
	for range rounds {
		if err := c.associate(ctx, nil); err != nil {
			return took, err
		}
		if err := c.gone(ctx); err != nil {
			return took, err
		}
		if _, err := c.outside.Run(ctx, "ip", "neighbour", "flush", "to", c.Moving.String()); err != nil {
			return took, err
		}
		one, err := c.one(ctx)
		if err != nil {
			return took, err
		}
		took = append(took, one)
	}
	return took, nil
}

func (c *Crowd) associate(ctx context.Context, port any) error {
	_, err := c.lab.Client().Update(ctx, "floatingips/"+c.moving, lab.Object{"port_id": port})
	return err
}

func (c *Crowd) one(ctx context.Context) (took time.Duration, err error) {
	p, err := StartPing(c.outside, c.Moving, fine)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.abandon()) }()
	began := time.Now()
	if err := c.associate(ctx, c.spare.PortID); err != nil {
		return 0, err
	}
	select {
	case <-p.First():
		return p.Since(time.Time{}).Sub(began), nil
	case <-time.After(answers):
		return 0, fmt.Errorf("%s does not answer within %v", c.Moving, answers)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// gone waits until the moving floating IP does not answer.
func (c *Crowd) gone(ctx context.Context) error {
	for end := time.Now().Add(answers); time.Now().Before(end); {
		p, err := StartPing(c.outside, c.Moving, fine)
		if err != nil {
			return err
		}
		heard := false
		select {
		case <-p.First():
			heard = true
			time.Sleep(fine)
		case <-time.After(silence):
		}
		if err := errors.Join(p.abandon(), ctx.Err()); err != nil || !heard {
			return err
		}
	}
	return fmt.Errorf("%s still answers %v after it was disassociated", c.Moving, answers)
}

// abandon is Stop without waiting for replies.
func (p *Ping) abandon() error {
	close(p.halt)
	return errors.Join(<-p.sent, p.conn.Close())
}
