package l3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/lab"
)

// The outside as the IPv6 cloud sees it (RFC 3849): the gateway of the external
// subnet, and an address beyond it.
const (
	public6     = "2001:db8:e::/64"
	gateway6    = "2001:db8:e::1"
	beyond6     = "2001:db8:f::1"
	nameserver6 = "2001:db8:d::53"
)

// site is a tenant's network with one IPv6 subnet, and the instance in it.
type site struct {
	mode    neutrino.IPv6Mode
	cidr    string
	kind    lab.Kind
	network lab.Object
	subnet  string
	guest   *lab.Guest
	nic     string
}

// cloud6 is a router with a way out of both families between three sites, one of
// each mode.
type cloud6 struct {
	*world
	router  string
	network *lab.Host // that runs the router
	outNIC  string
	source  string // the router's address outside
	sites   map[neutrino.IPv6Mode]*site
}

// TestIPv6 is the whole of IPv6 with real clients: the kernel's own
// autoconfiguration in a virtual machine, and a DHCPv6 client for the others.
func TestIPv6(t *testing.T) {
	c := newCloud6(story(t))
	for _, part := range []struct {
		name string
		run  func(*cloud6)
	}{
		{"what the API has is what the instance has", (*cloud6).addressed},
		{"a solicitation is answered soon", (*cloud6).solicited},
		{"the subnets reach each other", (*cloud6).eastWest},
		{"out and in without translation", (*cloud6).northSouth},
		{"security groups", (*cloud6).groups},
		{"the agents restart", (*cloud6).restarts},
		{"the router moves", (*cloud6).moves},
		{"the router is replaced while the old one answers", (*cloud6).replaced},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			one := *c
			one.world = c.with(t)
			part.run(&one)
		}) {
			c.explain()
		}
	}
}

// newCloud6 makes all of it through the API, to go with the story.
func newCloud6(w *world) *cloud6 {
	w.Helper()
	c := &cloud6{world: w, sites: map[neutrino.IPv6Mode]*site{
		neutrino.SLAAC:           {cidr: "2001:db8:1::/64", kind: lab.KindVM},
		neutrino.DHCPv6Stateless: {cidr: "2001:db8:2::/64", kind: lab.KindNamespace},
		neutrino.DHCPv6Stateful:  {cidr: "2001:db8:3::/64", kind: lab.KindNamespace},
	}}
	c.outNIC = strings.Fields(w.sh(w.outside, "ip -o -4 address show to "+lab.OutsideGateway))[1]
	w.sh(w.outside, fmt.Sprintf("ip address replace %s/64 dev %s nodad; ip address replace %s/128 dev lo", gateway6, c.outNIC, beyond6))
	public := w.one("networks", lab.Query{"name": lab.SeedPublic}).ID()
	w.create("subnets", lab.Object{"network_id": public, "ip_version": 6, "cidr": public6, "gateway_ip": gateway6, "enable_dhcp": false})
	router := w.create("routers", lab.Object{"name": "ipv6", "external_gateway_info": lab.Object{"network_id": public}})
	c.router = router.ID()
	for _, a := range w.one("ports", lab.Query{"device_id": c.router}).Addresses() {
		if netip.MustParseAddr(a).Is6() {
			c.source = a
		}
	}
	if c.source == "" {
		w.Fatalf("the gateway has no IPv6 address: %v", router)
	}
	for mode, s := range c.sites {
		s.mode = mode
		c.found(s)
	}
	c.network, _ = w.routerHost(c.router)
	return c
}

// found makes a site: it is reached from outside by way of the router.
func (c *cloud6) found(s *site) {
	c.Helper()
	name := strings.TrimPrefix(string(s.mode), "dhcpv6-")
	s.network = c.create("networks", lab.Object{"name": name})
	s.subnet = c.create("subnets", lab.Object{"network_id": s.network.ID(), "ip_version": 6, "cidr": s.cidr,
		"ipv6_ra_mode": string(s.mode), "ipv6_address_mode": string(s.mode), "dns_nameservers": []string{nameserver6}}).ID()
	c.must(c.lab.AddInterface(c.ctx, c.router, s.subnet))
	c.Cleanup(func() { c.late(c.lab.RemoveInterface(context.Background(), c.router, s.subnet)) })
	c.sh(c.outside, "ip route replace "+s.cidr+" via "+c.source)
	var err error
	s.guest, err = c.lab.AddInstance(c.ctx, lab.InstanceSpec{Name: name, Kind: s.kind, Network: s.network.ID()})
	c.must(err)
	c.Cleanup(func() { c.late(c.lab.RemoveInstance(context.Background(), name)) })
	s.nic = "eth0"
	if s.kind == lab.KindNamespace {
		s.nic = c.in(s, "ls /sys/class/net | grep -v lo")
		c.serve(s.guest, 22, "cat")
	}
	c.must(s.guest.AwaitActive(c.ctx))
}

// create makes an object that goes with the story's end.
func (w *world) create(collection string, body lab.Object) lab.Object {
	w.Helper()
	o, err := w.api.Create(w.ctx, collection, body)
	w.must(err)
	w.Cleanup(func() { w.late(w.api.Delete(context.Background(), collection, o.ID())) })
	return o
}

// serve has a light instance run a command for each connection to a port.
func (w *world) serve(g *lab.Guest, port int, command ...string) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server := g.Command(ctx, append([]string{"busybox", "nc", "-ll", "-p", strconv.Itoa(port), "-e"}, command...)...)
	w.must(server.Start())
	w.Cleanup(func() { cancel(); _ = server.Wait() }) // it never ends by itself
}

// light makes a light instance with its lease, which goes with the story.
func (w *world) light(name, network string) *lab.Guest {
	w.Helper()
	return w.leased(lab.InstanceSpec{Name: name, Network: network})
}

// leased makes the light instance that is asked for, with its lease; it goes
// with the story.
func (w *world) leased(s lab.InstanceSpec) *lab.Guest {
	w.Helper()
	s.Kind = lab.KindNamespace
	g, err := w.lab.AddInstance(w.ctx, s)
	w.must(err)
	w.Cleanup(func() { w.late(w.lab.RemoveInstance(context.Background(), s.Name)) })
	w.must(g.AwaitActive(w.ctx))
	_, err = g.AwaitLease(w.ctx)
	w.must(err)
	return g
}

// late notes the error of a cleanup.
func (w *world) late(err error) {
	if err != nil {
		w.Errorf("cleanup: %v", err)
	}
}

// in runs a shell text in a site's instance.
func (c *cloud6) in(s *site, script string) string {
	c.Helper()
	out, err := s.guest.Exec(c.ctx, script)
	c.must(err)
	if out.Code != 0 {
		c.Fatalf("%s: %s: %s", s.guest.Name, script, out.Stderr)
	}
	return strings.TrimSpace(out.Stdout)
}

// explain says how things stood when a part failed.
func (c *cloud6) explain() {
	for _, s := range c.sites {
		out, err := s.guest.Exec(c.ctx, "ip -6 addr; ip -6 route; ip -6 neigh; cat /proc/net/snmp6 | grep -i error")
		c.Logf("%s: %s%s %v", s.guest.Name, out.Stdout, out.Stderr, err)
	}
	in := "ip netns exec qrouter-" + c.router + " "
	out, err := c.network.Run(c.ctx, "sh", "-c", in+"ip -6 addr; "+in+"ip -6 route; "+in+"ip -6 neigh")
	c.Logf("router on %s: %s %v", c.network.Name, out, err)
}

// addressed compares each instance with its port.
func (c *cloud6) addressed() {
	for _, s := range c.sites {
		if s.mode != neutrino.SLAAC {
			lease, err := s.guest.RequestLease6(c.ctx, s.mode)
			c.must(err)
			want := s.guest.Address
			if s.mode == neutrino.DHCPv6Stateless {
				want = ""
			}
			if lease.Address != want || lease.DNS != nameserver6 {
				c.Errorf("%s: DHCPv6 gave %+v, want address %q", s.mode, lease, want)
			}
		}
		mac, err := neutrino.ParseMAC(s.guest.MAC)
		c.must(err)
		if auto := eui64(netip.MustParsePrefix(s.cidr), mac).String(); (auto == s.guest.Address) == (s.mode == neutrino.DHCPv6Stateful) {
			c.Errorf("%s: the port has %s, the address of its MAC is %s", s.mode, s.guest.Address, auto)
		}
		took := c.until(patience, func() error { return c.configured(s) })
		mtu := c.in(s, "cat /proc/sys/net/ipv6/conf/"+s.nic+"/mtu")
		if mtu != strconv.Itoa(s.network.Int("mtu")) {
			c.Errorf("%s: the instance's IPv6 MTU is %s, the network's %d", s.mode, mtu, s.network.Int("mtu"))
		}
		c.Logf("%s: %s, IPv6 MTU %s, after %v", s.mode, s.guest.Address, mtu, took.Round(time.Millisecond))
	}
}

// configured is nil when the instance has the port's address and no other, and
// the router as its way out.
func (c *cloud6) configured(s *site) error {
	out, err := s.guest.Exec(c.ctx, "ip -6 -o addr show dev "+s.nic+" scope global; ip -6 route show default; echo; ip -6 addr show tentative")
	if err != nil {
		return err
	}
	has := strings.Count(out.Stdout, "inet6 ") == 1 && strings.Contains(out.Stdout, "inet6 "+s.guest.Address+"/")
	if !has || !strings.Contains(out.Stdout, "default via "+c.linkLocal(s)) || strings.Contains(out.Stdout, "tentative") {
		return fmt.Errorf("%s: want %s and a route via %s: %s", s.guest.Name, s.guest.Address, c.linkLocal(s), out.Stdout)
	}
	return nil
}

// linkLocal is the router's link-local address on a site.
func (c *cloud6) linkLocal(s *site) string {
	c.Helper()
	port := c.one("ports", lab.Query{"device_id": c.router, "network_id": s.network.ID()})
	mac, err := neutrino.ParseMAC(port.Text("mac_address"))
	c.must(err)
	return mac.LinkLocal().String()
}

// eui64 is the address that a host makes of its MAC (RFC 4291, appendix A).
func eui64(p netip.Prefix, mac neutrino.MAC) netip.Addr {
	a, b := p.Addr().As16(), mac.LinkLocal().As16()
	copy(a[8:], b[8:])
	return netip.AddrFrom16(a)
}

// soon is how long the answer to a solicitation may take: half a second, or
// three from the last advertisement (RFC 4861, 6.2.6).
const soon = 3*time.Second + 500*time.Millisecond

// solicited lets an instance come up anew, which solicits, and looks how soon it
// has a router.
func (c *cloud6) solicited() {
	s := c.sites[neutrino.DHCPv6Stateless]
	for range 3 {
		c.in(s, fmt.Sprintf("ip link set %[1]s down; ip link set %[1]s up", s.nic))
		c.until(patience, func() error { // the kernel solicits then
			if out := c.in(s, "ip -6 addr show dev "+s.nic+" scope link"); !strings.Contains(out, "fe80") || strings.Contains(out, "tentative") {
				return errors.New(out)
			}
			return nil
		})
		took := c.until(patience, func() error {
			if out := c.in(s, "ip -6 route show default"); !strings.Contains(out, "via "+c.linkLocal(s)) {
				return errors.New("no router")
			}
			return nil
		})
		c.Logf("a router %v after the solicitation", took.Round(time.Millisecond))
		if took > soon+time.Second {
			c.Errorf("it took %v", took)
		}
		c.until(patience, func() error { return c.configured(s) })
	}
}

// open lets something in from anywhere; the text deletes the rule.
func (c *cloud6) open(rule lab.Object) (id string) {
	c.Helper()
	group, err := c.lab.DefaultGroup(c.ctx)
	c.must(err)
	rule["security_group_id"], rule["direction"], rule["ethertype"] = group.ID(), "ingress", "IPv6"
	return c.create("security-group-rules", rule).ID()
}

// eastWest are ping and TCP from each site to each other one. All are in the
// default group, which lets its members in.
func (c *cloud6) eastWest() {
	for _, from := range c.sites {
		for _, to := range c.sites {
			if from != to {
				c.until(patience, func() error { return from.guest.Ping(c.ctx, to.guest.Address) })
				c.until(patience, func() error { return from.guest.Connect(c.ctx, to.guest.Address, 22) })
				full := from.network.Int("mtu") - 40 - 8 // a packet as large as the network takes
				c.until(patience, func() error { return from.guest.Ping(c.ctx, fmt.Sprintf("-s %d %s", full, to.guest.Address)) })
			}
		}
	}
}

// northSouth reaches the web server beyond the gateway and is reached from there,
// each by its own address.
func (c *cloud6) northSouth() {
	c.open(lab.Object{"protocol": "ipv6-icmp"})
	c.open(lab.Object{"protocol": "tcp", "port_range_min": 22, "port_range_max": 22})
	for _, s := range c.sites {
		c.until(patience, func() error { return s.guest.Ping(c.ctx, beyond6) })
		for url, want := range map[string]string{"": c.outside.Name, lab.SourcePage: s.guest.Address} {
			got := c.in(s, lab.Fetch("http://["+beyond6+"]"+url))
			if strings.Trim(got, "[]") != want {
				c.Errorf("%s: %s says %q, want %q", s.mode, url, got, want)
			}
		}
		c.until(patience, func() error { return c.reached(s, 22) })
		p := c.ping(s.guest.Address, 10*time.Millisecond)
		c.until(patience, func() error { return c.heard(p, time.Time{}) })
		c.must(p.abandon())
	}
}

// reached opens a connection from outside.
func (c *cloud6) reached(s *site, port int) error {
	_, err := c.outside.Run(c.ctx, "sh", "-c", fmt.Sprintf("echo hello | timeout 3 busybox nc -w 2 %s %d | grep -q hello", s.guest.Address, port))
	return err
}

// groups opens and closes ICMPv6 and TCP; a flow that a closed rule had let in
// ends with the rule.
func (c *cloud6) groups() {
	for _, s := range c.sites {
		c.closed(s)
		icmp := c.open(lab.Object{"protocol": "ipv6-icmp"})
		tcp := c.open(lab.Object{"protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": gateway6 + "/128"})
		p := c.ping(s.guest.Address, 10*time.Millisecond)
		opened := c.until(patience, func() error { return c.heard(p, time.Time{}) })
		c.until(patience, func() error { return c.reached(s, 22) })
		flow := c.talk(s.guest.Address, 22)
		c.until(patience, func() error { return flow.says("before") })
		began := time.Now()
		c.must(c.api.Delete(c.ctx, "security-group-rules", icmp))
		c.must(c.api.Delete(c.ctx, "security-group-rules", tcp))
		c.until(patience, func() error {
			if flow.says("after") == nil {
				return errors.New("the established flow goes on")
			}
			return nil
		})
		c.until(patience, func() error {
			if at := p.Since(time.Now().Add(-300 * time.Millisecond)); !at.IsZero() {
				return errors.New("pings are still answered")
			}
			return nil
		})
		c.Logf("%s: open after %v; closed again within %v", s.mode, opened.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		c.must(p.abandon())
		c.closed(s)
	}
}

// closed wants that nothing comes in from outside.
func (c *cloud6) closed(s *site) {
	c.Helper()
	c.until(patience, func() error {
		if c.reached(s, 22) == nil {
			return errors.New("TCP comes in")
		}
		return nil
	})
	p := c.ping(s.guest.Address, 10*time.Millisecond)
	count, err := p.Stop()
	c.must(err)
	if count.Lost < count.Sent {
		c.Errorf("%s: %d of %d pings came in", s.mode, count.Sent-count.Lost, count.Sent)
	}
}

// conversation is a connection to a port that gives back what it gets.
type conversation struct {
	to   io.Writer
	from chan string
	n    int
}

// talk opens a connection from outside that stays.
func (w *world) talk(address string, port int) *conversation {
	w.Helper()
	cmd := w.outside.Command(w.ctx, "busybox", "nc", address, strconv.Itoa(port))
	to, err := cmd.StdinPipe()
	w.must(err)
	from, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	w.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it waits for the other end
	t := &conversation{to: to, from: make(chan string, 1)}
	go func() {
		b := make([]byte, 1<<12)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			t.from <- string(b[:n])
		}
	}()
	return t
}

// says sends a word and waits a second for it to come back.
func (t *conversation) says(word string) error {
	t.n++
	word = fmt.Sprintf("%s %d\n", word, t.n)
	if _, err := io.WriteString(t.to, word); err != nil {
		return err
	}
	deadline := time.After(time.Second)
	for got := ""; ; {
		select {
		case text := <-t.from:
			if got += text; strings.Contains(got, word) {
				return nil
			}
		case <-deadline:
			return fmt.Errorf("%q came back for %q", got, word)
		}
	}
}

// restarts kills all agents under traffic. They write nothing, and it goes on.
func (c *cloud6) restarts() {
	c.open(lab.Object{"protocol": "ipv6-icmp"})
	for _, h := range c.hosts {
		c.settled(h)
	}
	before := c.kernel(c.network, c.router)
	var pings []*Ping
	for _, s := range c.sites {
		p := c.ping(s.guest.Address, 10*time.Millisecond)
		c.until(patience, func() error { return c.heard(p, time.Time{}) })
		c.must(p.abandon())
		pings = append(pings, c.ping(s.guest.Address, 10*time.Millisecond))
	}
	for _, h := range c.hosts {
		c.must(h.Kill(c.ctx, agentProcess))
		c.must(h.Restart(c.ctx, agentProcess))
		c.until(patience, func() error { return c.quiet(h) })
		puts, drops := c.settled(h)
		// What ends with the process: the metadata service's sockets and the
		// senders of router advertisements.
		own := strings.Count(c.sh(h, "for ns in $(ip netns | cut -d' ' -f1); do ip netns exec $ns ss -Hltnp; done"), "neutrino")
		if h.Name == c.network.Name {
			own += len(c.sites)
		}
		if drops != 0 || puts > own {
			c.Errorf("%s: the fresh agent put %d and dropped %d; %d are its own", h.Name, puts, drops, own)
		}
	}
	for _, p := range pings {
		count, err := p.Stop()
		c.must(err)
		if count.Lost > 0 || count.Twice > 0 {
			c.Errorf("of %d pings to %s %d were lost and %d answered twice", count.Sent, p.to, count.Lost, count.Twice)
		}
	}
	if after := c.kernel(c.network, c.router); strings.Join(before, "\n") != strings.Join(after, "\n") {
		c.Errorf("the host changed:\n%s\nwas\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

// moves takes the router to the other network host, and back.
func (c *cloud6) moves() {
	c.open(lab.Object{"protocol": "ipv6-icmp"})
	for range 2 {
		old, other := c.routerHost(c.router)
		path := func(h *lab.Host) string {
			return "/v2.0/agents/" + c.one("agents", lab.Query{"host": h.Name, "agent_type": neutrino.AgentL3}).ID() + "/l3-routers"
		}
		var pings []*Ping
		for _, s := range c.sites {
			p := c.ping(s.guest.Address, 20*time.Millisecond)
			c.until(patience, func() error { return c.heard(p, time.Time{}) })
			pings = append(pings, p)
		}
		c.must(c.api.Do(c.ctx, lab.Request{Method: "DELETE", Path: path(old) + "/" + c.router}, nil))
		c.must(c.api.Do(c.ctx, lab.Request{Method: "POST", Path: path(other), Body: lab.Object{"router_id": c.router}}, nil))
		moved := time.Now()
		c.until(patience, func() error {
			if out := c.sh(old, "ip netns"); strings.Contains(out, c.router) {
				return fmt.Errorf("%s still has the router", old.Name)
			}
			return nil
		})
		gone := time.Now()
		for _, p := range pings {
			c.until(patience, func() error { return c.heard(p, gone) })
			c.Logf("%s → %s: %s answers %v after the move", old.Name, other.Name, p.to, p.Since(gone).Sub(moved).Round(time.Millisecond))
			c.must(p.abandon())
		}
		for _, s := range c.sites {
			c.must(c.configured(s))
		}
	}
}

// replaced kills the agent of the router's host, whose kernel routes on: the
// other host has the router too, with the same MACs, before the old one is
// cleaned. It must not take that for a duplicate of its own addresses.
func (c *cloud6) replaced() {
	c.open(lab.Object{"protocol": "ipv6-icmp"})
	old, other := c.routerHost(c.router)
	c.must(old.Kill(c.ctx, agentProcess))
	c.until(downTime+patience, func() error {
		if now, _ := c.routerHost(c.router); now.Name != other.Name {
			return fmt.Errorf("the router is still on %s", now.Name)
		}
		return nil
	})
	c.until(patience, func() error { return c.ready(other) })
	c.must(old.Restart(c.ctx, agentProcess))
	c.until(patience, func() error {
		if out := c.sh(old, "ip netns"); strings.Contains(out, c.router) {
			return fmt.Errorf("%s still has the router", old.Name)
		}
		return nil
	})
	c.asWanted()
	c.must(c.ready(other))
	for _, s := range c.sites {
		p := c.ping(s.guest.Address, 20*time.Millisecond)
		took := c.until(patience, func() error { return c.heard(p, time.Time{}) })
		c.must(p.abandon())
		c.Logf("%s answers %v after the old router is gone", s.guest.Address, took.Round(time.Millisecond))
	}
}

// ready is nil when the router may use all its addresses on the host.
func (c *cloud6) ready(h *lab.Host) error {
	out, err := h.Run(c.ctx, "ip", "-n", "qrouter-"+c.router, "-6", "-o", "address")
	if err == nil && (strings.Count(out, "fe80::") != len(c.sites)+1 || strings.Contains(out, "tentative") || strings.Contains(out, "dadfailed")) {
		err = errors.New(out)
	}
	return err
}
