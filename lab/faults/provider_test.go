package faults

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/lab"
)

// beyondRouter is an address behind the router outside (RFC 3849).
const beyondRouter = "2001:db8:f2::1"

// physical is a provider network with a router on the physical side, which
// advertises itself and a prefix; neutrino has no router there.
type physical struct {
	*world
	wire   lab.Object // the network
	host   *lab.Host  // of the router
	in     []string   // leads into the router's namespace there
	nic    string     // of the router, on the network
	mac    string
	prefix netip.Prefix
	first  int // number of the first frame that is forged
}

// Instances on provider networks, flat and VLAN, make their addresses and find
// their way out by a router that is none of neutrino's, and no instance passes
// for that router or for another instance, neither here nor outside.
func TestInstancesOnProviderNetworksFollowTheRouterOutside(t *testing.T) {
	w := story(t)
	w.must(w.lab.Provide(w.ctx, w.compute.Name))
	w.Cleanup(func() { w.late(w.lab.Withdraw(context.Background(), w.compute.Name)) })
	// What a hears comes without any rule that lets it in.
	open, closed := w.openGroup(), w.create("security-groups", lab.Object{"name": "spoof-closed"}).ID()
	for i, make := range []func(*physical){(*physical).flat, (*physical).vlan} {
		p := &physical{prefix: netip.MustParsePrefix(fmt.Sprintf("2001:db8:a%d::/64", i))}
		t.Run([]string{"flat", "VLAN"}[i], func(t *testing.T) {
			part := *w
			part.T = t
			p.world = &part
			make(p)
			p.first = 5000 + 1000*i
			p.follow(closed, open)
		})
	}
}

// flat is the public network, whose router is the outside.
func (p *physical) flat() {
	p.Helper()
	outside, err := p.lab.Host(lab.RoleOutside)
	p.must(err)
	p.host, p.wire = outside, p.list("networks", lab.Query{"name": lab.SeedPublic})[0]
	p.nic = strings.Fields(p.sh(outside, "ip -o -4 address show to "+lab.OutsideGateway))[1]
}

// vlan is a VLAN of the physical network. Its router is plugged by the operator
// into the provider bridge of the network host: a kernel need not know VLANs.
func (p *physical) vlan() {
	p.Helper()
	const vlan = 131
	p.wire = p.create("networks", lab.Object{"name": "tagged", "provider:network_type": string(neutrino.VLAN),
		"provider:physical_network": lab.PhysicalNetwork, "provider:segmentation_id": vlan})
	p.create("subnets", lab.Object{"network_id": p.wire.ID(), "ip_version": 4, "cidr": "10.67.0.0/24", "enable_dhcp": false})
	p.host, p.nic, p.in = p.world.network, "router131", []string{"ip", "netns", "exec", "router131"}
	p.Cleanup(func() {
		_, err := p.host.Run(context.Background(), "sh", "-c", "ovs-vsctl --if-exists del-port router131; ip netns del router131")
		p.late(err)
	})
	p.sh(p.host, fmt.Sprintf("ovs-vsctl add-port %s router131 tag=%d -- set Interface router131 type=internal; "+
		"ip netns add router131; ip link set router131 netns router131; ip -n router131 link set router131 up; ip -n router131 link set lo up",
		lab.ProviderBridge, vlan))
}

// command is a command where the router is.
func (p *physical) command(argv ...string) *exec.Cmd {
	return p.host.Command(p.ctx, append(slices.Clone(p.in), argv...)...)
}

// router runs a command where the router is, and another one when the story ends.
func (p *physical) router(do, undo string) {
	p.Helper()
	_, err := p.host.Run(p.ctx, append(slices.Clone(p.in), strings.Fields(do)...)...)
	p.must(err)
	p.Cleanup(func() {
		_, err := p.host.Run(context.Background(), append(slices.Clone(p.in), strings.Fields(undo)...)...)
		p.late(err)
	})
}

func (p *physical) follow(closed, open string) {
	out, err := p.command("cat", "/sys/class/net/"+p.nic+"/address").Output()
	p.must(err)
	p.mac = strings.TrimSpace(string(out))
	// The router has no address in the subnet: all that the subnet knows of it is
	// that somebody advertises.
	p.create("subnets", lab.Object{"network_id": p.wire.ID(), "ip_version": 6, "cidr": p.prefix.String(),
		"ipv6_address_mode": string(neutrino.SLAAC)})
	p.router("ip address add "+beyondRouter+"/128 dev lo nodad", "ip address del "+beyondRouter+"/128 dev lo")
	p.router(fmt.Sprintf("ip -6 route replace %s dev %s", p.prefix, p.nic), fmt.Sprintf("ip -6 route del %s dev %s", p.prefix, p.nic))
	a, b := p.guest("phys-a", p.compute, closed), p.guest("phys-b", p.world.network, open)
	me, victim := p.partyOf(a), p.partyOf(b)
	for _, g := range []*lab.Guest{a, b} {
		took := p.until(repairTime, func() error { return errors.Join(p.advertise(), p.configured(g)) })
		p.until(repairTime, func() error { return g.Ping(p.ctx, beyondRouter) })
		p.Logf("%s on %s has its address and way out after %v", g.Name, g.Host, took.Round(time.Millisecond))
	}
	p.until(repairTime, func() error { return a.Ping(p.ctx, victim.ip6) })
	p.until(repairTime, func() error { return p.command("ping", "-6", "-c", "1", "-W", "1", victim.ip6).Run() })
	if p.command("ping", "-6", "-c", "1", "-W", "1", me.ip6).Run() == nil {
		p.Error("the router reaches an instance whose group lets nobody in")
	}
	p.forge(a, b)
	p.must(p.configured(a))
	p.asWanted(repairTime)
}

// guest is an instance on the network that says no word of its own: its kernel
// does what an advertisement tells it.
func (p *physical) guest(name string, h *lab.Host, group string) *lab.Guest {
	p.Helper()
	g, err := p.lab.AddInstance(p.ctx, lab.InstanceSpec{Name: name, Kind: lab.KindNamespace, Host: h.Name, Network: p.wire.ID(),
		Port: lab.Object{"security_groups": []string{group}}})
	p.must(err)
	p.Cleanup(func() { p.late(p.lab.RemoveInstance(context.Background(), name)) })
	p.must(g.AwaitActive(p.ctx))
	if out, err := g.Command(p.ctx, "ip", "link", "set", p.world.nic(g), "up").CombinedOutput(); err != nil {
		p.Fatalf("%s: %v: %s", name, err, out)
	}
	return g
}

// advertise has the router outside say who it is.
func (p *physical) advertise() error {
	p.Helper()
	link := linkLocal(p.mac)
	frame := ether(p.mac, allNodes, etherIPv6, icmp6(link, "ff02::1", 134, routerAdvertisement(p.mac, p.prefix.Addr())))
	p.emit(p.command(testBinary(), framesCommand, "send", p.nic), [][]byte{frame})
	return nil
}

// configured is nil when the instance has its port's IPv6 address and no other,
// and the router outside as its only way out.
func (p *physical) configured(g *lab.Guest) error {
	nic := p.world.nic(g)
	out, err := g.Exec(p.ctx, "ip -6 -o addr show dev "+nic+" scope global; ip -6 route show default; ip -6 addr show tentative")
	if err != nil {
		return err
	}
	want := "default via " + linkLocal(p.mac) + " "
	has := strings.Count(out.Stdout, "inet6 ") == 1 && strings.Contains(out.Stdout, "inet6 "+p.partyOf(g).ip6+"/")
	if !has || strings.Count(out.Stdout, "default via") != 1 || !strings.Contains(out.Stdout, want) || strings.Contains(out.Stdout, "tentative") {
		return fmt.Errorf("%s: want %s and %q: %s", g.Name, p.partyOf(g).ip6, want, out.Stdout)
	}
	return nil
}

// forge sends what an instance may not, from a: neither b nor anybody on the wire
// hears it.
func (p *physical) forge(a, b *lab.Guest) {
	p.Helper()
	at := p.listen(b.Command(p.ctx, testBinary(), framesCommand, "listen", p.world.nic(b)))
	wire := p.listen(p.command(testBinary(), framesCommand, "listen", p.nic))
	me, victim := p.partyOf(a), p.partyOf(b)
	router := party{mac: p.mac, ip4: victim.ip4, ip6: beyondRouter, link: linkLocal(p.mac)}
	all := append(matrix(me, victim), servers(me, victim)...)
	for _, one := range append(matrix(me, router), servers(me, router)...) {
		if !one.passes {
			all = append(all, one)
		}
	}
	p.try(a, at, all, p.first)
	for _, one := range all {
		if n := wire.heard(one.count); n > 0 && !one.passes {
			p.Errorf("ARRIVED outside: %s", one.name)
		}
	}
	// That the wire is listened to at all: what may pass to everybody is heard.
	heard := 0
	for _, one := range all {
		if one.passes && wire.heard(one.count) > 0 {
			heard++
		}
	}
	if heard == 0 {
		p.Error("nothing that a sent is heard outside: the listener hears nothing")
	}
}
