package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"neutrino"
	"neutrino/lab"
)

// everyType makes a network of each type with the same subnet and lets two
// instances on two hosts talk, and not across networks. The compute host gets a
// bridge on the public network for it, if it has none.
func everyType(ctx context.Context, c *Cloud) (seen string, err error) {
	before := len(c.made)
	defer func() {
		for _, name := range slices.Backward(slices.Clone(c.made[before:])) {
			err = errors.Join(err, c.remove(context.WithoutCancel(ctx), name))
		}
	}()
	if err := c.uplink(ctx, lab.UplinkNIC); err != nil {
		return "", err
	}
	if err := c.lab.Provide(ctx, c.compute.Name); err != nil {
		return "", err
	}
	c.later(func(ctx context.Context) error { return c.lab.Withdraw(ctx, c.compute.Name) })
	var pairs []string
	previous := "" // an instance's address in the network before
	for i, kind := range []neutrino.NetworkType{neutrino.GRE, neutrino.VXLAN, neutrino.Geneve, neutrino.VLAN} {
		s := segment{name: "check-" + string(kind), kind: string(kind), key: 120 + i, cidr: "10.4.0.0/24"}
		network, _, err := c.make(ctx, s)
		if err != nil {
			return strings.Join(pairs, ", "), fmt.Errorf("%s: %w", kind, err)
		}
		near, far := fmt.Sprintf("10.4.0.1%d", i), fmt.Sprintf("10.4.0.2%d", i)
		a, err := c.pair(ctx, network, near, far)
		if err != nil {
			return strings.Join(pairs, ", "), fmt.Errorf("%s: %w", kind, err)
		}
		if previous != "" && a.Ping(ctx, previous) == nil {
			return strings.Join(pairs, ", "), fmt.Errorf("%s: %s of another network answers", kind, previous)
		}
		previous = far
		pairs = append(pairs, fmt.Sprintf("%s %s ↔ %s", kind, near, far))
	}
	flat, err := c.onPublic(ctx)
	return strings.Join(append(pairs, flat), ", "), err
}

// pair starts an instance on the compute host and one on the network host, and
// lets them ping each other.
func (c *Cloud) pair(ctx context.Context, network, near, far string) (*lab.Guest, error) {
	name := func(address string) string { return "i" + strings.ReplaceAll(address, ".", "-") }
	a, _, err := c.instance(ctx, lab.InstanceSpec{Name: name(near), Host: c.compute.Name, Network: network, IP: near})
	if err != nil {
		return nil, err
	}
	b, _, err := c.instance(ctx, lab.InstanceSpec{Name: name(far), Host: c.network.Name, Network: network, IP: far})
	if err != nil {
		return nil, err
	}
	if err := until(ctx, patience, func(ctx context.Context) error { return a.Ping(ctx, far) }); err != nil {
		return nil, err
	}
	return a, b.Ping(ctx, near)
}

// onPublic puts an instance of the compute host on the flat public network,
// which has no DHCP: it is told its address by hand.
func (c *Cloud) onPublic(ctx context.Context) (string, error) {
	c.made = append(c.made, "onpublic")
	g, err := c.lab.AddInstance(ctx, lab.InstanceSpec{Name: "onpublic", Kind: lab.KindNamespace, Host: c.compute.Name, Network: c.vars["pub"]})
	if err != nil {
		return "", err
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := g.AwaitActive(wait); err != nil {
		return "", err
	}
	_, err = c.inside(ctx, g, "d=$(ls /sys/class/net | grep -v lo); ip addr add "+g.Address+"/28 dev $d; ip link set $d up")
	if err == nil {
		err = until(ctx, patience, func(ctx context.Context) error {
			return errors.Join(g.Ping(ctx, lab.OutsideGateway), g.Ping(ctx, c.vars["gip"]))
		})
	}
	return "flat " + g.Address + " ↔ " + lab.OutsideGateway, err
}
