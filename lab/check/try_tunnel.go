package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"neutrino/lab"
)

// encapsulated is the filter for the network's tunnelled frames on the underlay.
func (c *Cloud) encapsulated() string {
	switch c.vars["type"] {
	case "vxlan":
		return "udp port 4789"
	case "geneve":
		return "udp port 6081"
	}
	return "proto gre"
}

// keyed wants frames that carry the network's key, as tcpdump prints it.
func (c *Cloud) keyed(lines []string) error {
	want := map[string]string{"gre": "key=%#x", "vxlan": "vni %d", "geneve": "vni %#x"}[c.vars["type"]]
	var key int
	if _, err := fmt.Sscanf(c.vars["key"], "0x%x", &key); err != nil {
		return err
	}
	text := fmt.Sprintf(want, key)
	for _, l := range lines {
		if strings.Contains(l, text) {
			return nil
		}
	}
	return fmt.Errorf("no frame with %s among %d", text, len(lines))
}

func (c *Cloud) guestPings(ctx context.Context) error {
	return c.inGuest(ctx, c.expand("ping -c 2 -W 1 $dip"))
}

func acrossHosts(ctx context.Context, c *Cloud) (string, error) {
	kind, err := c.sh(ctx, "compute", "ovs-vsctl get Interface $tonet type")
	if err != nil {
		return "", err
	}
	if err := is("$type")(c, kind); err != nil {
		return kind, err
	}
	peer, lease, err := c.instance(ctx, lab.InstanceSpec{Name: "peer", Host: c.network.Name, Network: c.guest.NetworkID})
	if err != nil {
		return kind, err
	}
	if err := until(ctx, patience, func(ctx context.Context) error { return peer.Ping(ctx, c.guest.Address) }); err != nil {
		return kind, err
	}
	err = c.inGuest(ctx, "ping -c 1 -W 2 "+lease.Address)
	return fmt.Sprintf("%s; %s on %s ↔ %s on %s reply", kind, c.guest.Address, c.compute.Name, lease.Address, c.network.Name),
		errors.Join(err, c.remove(ctx, "peer"))
}

func encapsulatedWithKey(ctx context.Context, c *Cloud) (string, error) {
	seen, err := c.seenOn(ctx, point{"compute", "eth0", c.encapsulated() + " and src host $clocal"}, c.guestPings)
	if err == nil {
		err = c.keyed(seen)
	}
	return brief(strings.Join(seen, " ")), err
}

// flowIsRepaired takes the flow away by hand; traffic into the host stops and
// comes back without anybody's help.
func flowIsRepaired(ctx context.Context, c *Cloud) (string, error) {
	if _, err := c.sh(ctx, "compute", "ovs-ofctl del-flows br-tun table=$intable,tun_id=$key"); err != nil {
		return "", err
	}
	if _, err := c.expect(ctx, "compute", "ovs-ofctl dump-flows br-tun table=$intable", has("tun_id=$key")); err != nil {
		return "", err
	}
	err := until(ctx, patience, func(ctx context.Context) error { return c.pingFrom(ctx, "$ip") })
	return "flow is back, the VM replies", err
}

func unicastAndFlood(ctx context.Context, c *Cloud) (string, error) {
	unicast, err := c.sh(ctx, "compute", "ovs-appctl ofproto/trace --names br-tun in_port=patch-int,dl_vlan=$lv,dl_src=$mac,dl_dst=$dmac,ip")
	if err != nil {
		return "", err
	}
	flood, err := c.sh(ctx, "compute", "ovs-appctl ofproto/trace --names br-tun in_port=patch-int,dl_vlan=$lv,dl_src=$mac,dl_dst=ff:ff:ff:ff:ff:ff,ip")
	if err != nil {
		return "", err
	}
	peers, err := c.sh(ctx, "compute", "ovs-ofctl dump-flows br-tun table=22,dl_vlan=$lv | grep -o output: | wc -l")
	if err != nil {
		return "", err
	}
	for name, out := range map[string]string{"unicast": unicast, "broadcast": flood} {
		if !strings.Contains(out, c.expand("$nlocal")) || !strings.Contains(out, c.expand("tun_id=$key")) && !strings.Contains(out, c.expand("$key->tun_id")) {
			return brief(out), fmt.Errorf("%s does not go to %s with key %s", name, c.vars["nlocal"], c.vars["key"])
		}
	}
	return fmt.Sprintf("unicast to %s; broadcast to %s peer(s)", c.vars["tonet"], peers), nil
}

func countersRise(ctx context.Context, c *Cloud) (string, error) {
	count := func(ctx context.Context) (int, error) {
		out, err := c.sh(ctx, "compute", "ovs-ofctl dump-flows br-tun table=$intable,tun_id=$key")
		return packets(out), err
	}
	before, err := count(ctx)
	if err != nil {
		return "", err
	}
	if err := c.guestPings(ctx); err != nil {
		return "", err
	}
	var after int
	err = until(ctx, patience, func(ctx context.Context) error { // the switch gathers its counters each second
		if after, err = count(ctx); err == nil && after <= before {
			err = errors.New("the counter does not rise")
		}
		return err
	})
	return fmt.Sprintf("n_packets %d → %d", before, after), err
}

// dropOnlyBeforeInstances looks at a network type that nothing here uses: its
// table holds the drop alone, as the seed's bridge did before any instance.
func dropOnlyBeforeInstances(ctx context.Context, c *Cloud) (string, error) {
	other := "4"
	if c.vars["intable"] == "4" {
		other = "3"
	}
	out, err := c.sh(ctx, "compute", "ovs-ofctl --no-stats dump-flows br-tun table="+other)
	if err != nil {
		return out, err
	}
	if strings.Count(out, "actions=") != 1 || !strings.Contains(out, "priority=0 actions=drop") {
		return out, errors.New("want the drop alone")
	}
	return brief(out), nil
}

// flowsComeAndGo gives a host its first port of a network and takes it away.
func flowsComeAndGo(ctx context.Context, c *Cloud) (string, error) {
	network, err := c.privateNetwork(ctx, "check-flows", "check", 7001)
	if err != nil {
		return "", err
	}
	keyed := func() (string, error) {
		return c.sh(ctx, "compute", "ovs-ofctl dump-flows br-tun | grep -c tun_id=0x1b59 || true")
	}
	if before, err := keyed(); err != nil || before != "0" {
		return before, errors.Join(errors.New("there are flows before the first port"), err)
	}
	g, _, err := c.instance(ctx, lab.InstanceSpec{Name: "flows1", Host: c.compute.Name, Network: network, Project: "check"})
	if err != nil {
		return "", err
	}
	during, err := keyed()
	if err != nil || during == "0" {
		return during, errors.Join(errors.New("no flow has the key"), err)
	}
	if err := c.remove(ctx, g.Name); err != nil {
		return "", err
	}
	_, err = c.expect(ctx, "compute", "ovs-ofctl dump-flows br-tun | grep -c tun_id=0x1b59 || true", is("0"))
	return fmt.Sprintf("flows with key 0x1b59: 0, with a port %s, then 0", during), errors.Join(err, c.dropNetwork(ctx, network))
}

// privateNetwork makes a network of another project with the seed's subnet.
func (c *Cloud) privateNetwork(ctx context.Context, name, project string, key int) (string, error) {
	network, _, err := c.make(ctx, segment{name: name, project: project, key: key,
		cidr: lab.SeedCIDR, pool: [2]string{lab.SeedDHCP, "10.1.0.254"}})
	return network, err
}

func (c *Cloud) dropNetwork(ctx context.Context, id string) error { return c.drop(ctx, "networks", id) }

// untaggedInside looks at a frame from the tunnel where it enters the firewall
// bridge: no VLAN, and on no other network's port.
func untaggedInside(ctx context.Context, c *Cloud) (string, error) {
	seen, err := c.seenOn(ctx, point{"compute", "qvo$p11", "icmp and src host $dip"}, c.guestPings)
	if err != nil {
		return "", err
	}
	if len(seen) == 0 {
		return "", errors.New("no reply came through qvo")
	}
	if strings.Contains(seen[0], "vlan") || strings.Contains(seen[0], "802.1Q") {
		return seen[0], errors.New("the frame is tagged")
	}
	return brief(seen[0]), nil
}

// networksAreApart has two networks on one host: their tags differ, and a
// broadcast of one is not seen in the other.
func networksAreApart(ctx context.Context, c *Cloud) (string, error) {
	network, err := c.privateNetwork(ctx, "check-apart", "check", 7002)
	if err != nil {
		return "", err
	}
	g, _, err := c.instance(ctx, lab.InstanceSpec{Name: "apart1", Host: c.compute.Name, Network: network, Project: "check"})
	if err != nil {
		return "", err
	}
	tag, err := c.sh(ctx, "compute", "ovs-vsctl get Port qvo"+g.PortID[:11]+" tag")
	if err != nil || tag == c.vars["lv"] {
		return tag, errors.Join(fmt.Errorf("tags %s and %s", tag, c.vars["lv"]), err)
	}
	seen, err := c.seenOn(ctx, point{"compute", g.Tap(), "arp and ether src $mac"}, func(ctx context.Context) error {
		return c.inGuest(ctx, "arping -c 3 -w 2 -I eth0 10.1.0.99; true")
	})
	if err == nil && len(seen) > 0 {
		err = errors.New("a broadcast of one network is seen in the other")
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("tags %s and %s, 0 of 3 broadcasts seen", c.vars["lv"], tag),
		errors.Join(c.remove(ctx, g.Name), c.dropNetwork(ctx, network))
}
