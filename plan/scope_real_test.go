package plan_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"neutrino"
	"neutrino/host"
	"neutrino/host/inside"
	"neutrino/host/iptables"
	"neutrino/host/realtest"
	"neutrino/plan"
	"neutrino/plan/names"
	"neutrino/reconcile"
	"neutrino/view"
)

// The stations around the router: two instances, each on its own network, and
// one outside that knows the way to both.
const (
	scopeA, scopeB, scopeOut = "a", "b", "out"
	addressA, addressA2      = "10.1.0.2", "10.1.0.3" // the first has the floating IP
	addressB, addressOut     = "10.2.0.9", "172.24.4.225"
	addressFIP, addressQG    = "172.24.4.228", "172.24.4.227"
	echoPort                 = 7777
)

// crossroads is the seed's router on the real kernel, with its stations.
type crossroads struct {
	t      *testing.T
	engine *iptables.Engine
	ns     string
}

func newCrossroads(t *testing.T) *crossroads {
	realtest.Root(t)
	c := &crossroads{t: t, ns: names.RouterNamespace(seedRouter)}
	sh(t, "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns")
	t.Cleanup(func() {
		sh(t, "for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done; umount -l /run/netns")
	})
	sh(t, fmt.Sprintf("ip netns add %[1]s && ip -n %[1]s link set lo up && ip netns exec %[1]s sysctl -qw net.ipv4.ip_forward=1", c.ns))
	wire := func(station, device, routerAddress, address, gateway string) {
		sh(t, fmt.Sprintf(`set -e; ip netns add %[2]s; ip -n %[2]s link set lo up
			ip -n %[1]s link add %[3]s type veth peer name eth0 netns %[2]s
			ip -n %[1]s addr add %[4]s dev %[3]s; ip -n %[1]s link set %[3]s up
			ip -n %[2]s addr add %[5]s dev eth0; ip -n %[2]s link set eth0 up; ip -n %[2]s route add default via %[6]s`,
			c.ns, station, device, routerAddress, address, gateway))
	}
	wire(scopeA, names.QR(seedQR), "10.1.0.1/24", addressA+"/24", "10.1.0.1")
	wire(scopeB, names.QR(otherQR), "10.2.0.1/24", addressB+"/24", "10.2.0.1")
	wire(scopeOut, names.QG(seedQG), addressQG+"/28", addressOut+"/28", addressQG)
	sh(t, fmt.Sprintf("ip -n a addr add %s/24 dev eth0 && ip -n %s addr add %s/32 dev %s", addressA2, c.ns, addressFIP, names.QG(seedQG)))
	for _, station := range []string{scopeA, scopeB, scopeOut} {
		c.listen(station)
	}
	c.engine = iptables.New(iptables.Options{Prefixes: []string{"neutron-l3-agent-", "neutron-meter-"}, Chains: []string{"neutron-filter-top", "neutron-postrouting-bottom"},
		Namespaces: func() []string { return []string{c.ns} }})
	return c
}

// listen answers whoever connects to a station with the address that it came from.
func (c *crossroads) listen(station string) {
	var ln net.Listener
	err := inside.Namespace(filepath.Join("/run/netns", station), func() (err error) {
		ln, err = net.Listen("tcp4", fmt.Sprintf(":%d", echoPort))
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			from := conn.RemoteAddr().(*net.TCPAddr).IP.String()
			_, _ = io.WriteString(conn, from) // who went away learns nothing
			_ = conn.Close()
		}
	}()
}

// apply brings the router's rules into the form of the view, from what they are.
func (c *crossroads) apply(v *view.Host, config plan.Config) {
	c.t.Helper()
	want := plan.Host(v, config)
	chains, hooks := map[host.ChainKey]host.Chain{}, map[host.HookKey]host.Hook{}
	for k, chain := range want.Chains {
		if k.NetNS == c.ns {
			chains[k] = chain
		}
	}
	for k, hook := range want.Hooks {
		if k.NetNS == c.ns {
			hooks[k] = hook
		}
	}
	ctx := context.Background()
	have, err := c.engine.Chains().Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.engine.Chains().Apply(ctx, changes(have, chains)); err != nil {
		c.t.Fatal(err)
	}
	hooked, err := c.engine.Hooks().Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.engine.Hooks().Apply(ctx, changes(hooked, hooks)); err != nil {
		c.t.Fatal(err)
	}
	c.engine.Invalidate()
	if have, err = c.engine.Chains().Read(ctx); err != nil {
		c.t.Fatal(err)
	}
	for k, chain := range chains {
		// The rules with marks of scopes are spelled as the kernel gives them back.
		if k.Table != "nat" && have[k].Rules != chain.Rules {
			c.t.Errorf("%v reads back as\n%s\nwant\n%s", k, have[k].Rules, chain.Rules)
		}
	}
}

func changes[K comparable, V any](have, want map[K]V) reconcile.Diff[K, V] {
	d := reconcile.Diff[K, V]{Put: map[K]V{}, Drop: map[K]V{}}
	for k, v := range want {
		d.Put[k] = v
	}
	for k, v := range have {
		if _, keep := want[k]; !keep {
			d.Drop[k] = v
		}
	}
	return d
}

// reach connects from a station, and gives the address that the other end saw,
// "" when it was not reached.
func (c *crossroads) reach(station, from, to string) string {
	c.t.Helper()
	var conn net.Conn
	err := inside.Namespace(filepath.Join("/run/netns", station), func() (err error) {
		d := net.Dialer{Timeout: 300 * time.Millisecond}
		if from != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		conn, err = d.Dial("tcp4", net.JoinHostPort(to, strconv.Itoa(echoPort)))
		return err
	})
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second)) // an error ends the read too
	seen, err := io.ReadAll(conn)
	if err != nil {
		c.t.Errorf("%s to %s: connected, and then %v", station, to, err)
	}
	return string(seen)
}

// Two networks of different scopes behind one router do not reach each other,
// those of one scope do; and whose scope is the external network's is routed,
// everybody else is translated. Floating IPs work from everywhere.
func TestScopesOnTheRealKernel(t *testing.T) {
	c := newCrossroads(t)
	type try struct{ station, from, to, seen string }
	fromFIP := try{scopeA, addressA, addressOut, addressFIP}
	toFIP := try{scopeOut, "", addressFIP, addressOut}
	hairpin := try{scopeB, "", addressFIP, addressQG}
	for _, k := range []struct {
		name                    string
		first, second, external uint16
		noSNAT                  bool
		tries                   []try
	}{
		{name: "no scopes", tries: []try{
			{scopeA, addressA2, addressB, addressA2}, {scopeB, "", addressA2, addressB}, {scopeB, "", addressOut, addressQG},
			{scopeA, addressA2, addressOut, addressQG}, fromFIP, toFIP, hairpin,
		}},
		{name: "two scopes, none outside", first: 1030, second: 1031, tries: []try{
			{scopeA, addressA2, addressB, ""}, {scopeA, addressA, addressB, ""}, {scopeB, "", addressA2, ""}, {scopeB, "", addressA, ""},
			{scopeB, "", addressOut, addressQG}, {scopeA, addressA2, addressOut, addressQG},
			{scopeOut, "", addressA2, ""}, {scopeOut, "", addressB, ""}, fromFIP, toFIP, hairpin,
		}},
		{name: "one scope everywhere", first: 1030, second: 1030, external: 1030, tries: []try{
			{scopeA, addressA2, addressB, addressA2}, {scopeB, "", addressA2, addressB},
			{scopeB, "", addressOut, addressB}, {scopeA, addressA2, addressOut, addressA2},
			{scopeOut, "", addressB, addressOut}, {scopeOut, "", addressA2, addressOut}, fromFIP, toFIP, hairpin,
		}},
		{name: "the second scope is the outside's", first: 1030, second: 1031, external: 1031, tries: []try{
			{scopeA, addressA2, addressB, ""}, {scopeA, addressA, addressB, ""}, {scopeB, "", addressA, ""},
			{scopeB, "", addressOut, addressB}, {scopeA, addressA2, addressOut, addressQG},
			{scopeOut, "", addressB, addressOut}, {scopeOut, "", addressA2, ""}, fromFIP, toFIP, hairpin,
		}},
		{name: "the same without source NAT", first: 1030, second: 1031, external: 1031, noSNAT: true, tries: []try{
			{scopeA, addressA2, addressOut, ""}, {scopeB, "", addressOut, addressB}, {scopeOut, "", addressB, addressOut},
			{scopeOut, "", addressA2, ""}, {scopeA, addressA, addressB, ""}, fromFIP, toFIP, hairpin,
		}},
	} {
		v, config := scoped(k.first, k.second, k.external)
		if k.noSNAT {
			r := v.Routers[seedRouter]
			r.Gateway = &neutrino.Gateway{NetworkID: seedExternal, FixedIPs: r.Gateway.FixedIPs}
			v.Routers[seedRouter] = r
		}
		c.apply(v, config)
		for _, try := range k.tries {
			if seen := c.reach(try.station, try.from, try.to); seen != try.seen {
				t.Errorf("%s: from %s%s to %s: was seen as %q, want %q", k.name, try.station, parenthesis(try.from), try.to, seen, try.seen)
			}
		}
	}
}

func parenthesis(s string) string {
	if _, err := netip.ParseAddr(s); err != nil {
		return ""
	}
	return " (" + s + ")"
}
