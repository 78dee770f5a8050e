package plan_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neutrino"
	"neutrino/host"
	"neutrino/plan"
	"neutrino/plan/names"
)

// What a router asks the external network: whether its addresses are its own,
// and for each subnet whether the gateway is there, by an address of that subnet.
func TestARouterAsksTheExternalNetwork(t *testing.T) {
	v, c := routed()
	const second = neutrino.ID("dddddddd-0f0e-4a5b-8d11-0c7b5b1f5c11")
	s := v.Subnets[seedOutside]
	s.ID, s.IPVersion, s.CIDR, s.GatewayIP = second, 6, netip.MustParsePrefix("2001:db8:9::/64"), addr("2001:db8:9::1")
	v.Subnets[second] = s
	p := v.Ports[seedQG]
	p.FixedIPs = append(p.FixedIPs, fixed(second, "2001:db8:9::2")...)
	v.Ports[seedQG] = p

	key := func(a string, kind host.ProbeKind) host.ProbeKey {
		return host.ProbeKey{NetNS: names.RouterNamespace(seedRouter), Device: names.QG(seedQG), Address: a, Kind: kind}
	}
	probe := func(from, object string) host.Probe {
		return host.Probe{From: from, Scope: neutrino.RouterObject(seedRouter), Why: host.Why{Feature: "router", Object: object}}
	}
	port, router := neutrino.PortObject(seedQG), neutrino.RouterObject(seedRouter)
	want := map[host.ProbeKey]host.Probe{
		key("172.24.4.227", host.ProbeUnique):   probe("", port),
		key("2001:db8:9::2", host.ProbeUnique):  probe("", port),
		key("172.24.4.228", host.ProbeUnique):   probe("", neutrino.FloatingIPObject(seedFloating)),
		key("172.24.4.225", host.ProbeAnswers):  probe("172.24.4.227", router),
		key("2001:db8:9::1", host.ProbeAnswers): probe("2001:db8:9::2", router),
	}
	if diff := cmp.Diff(want, plan.Host(v, c).Probes); diff != "" {
		t.Errorf("probes (-want +got):\n%s", diff)
	}
}

// What is not plugged asks nothing, and nobody asks for himself.
func TestWhatARouterDoesNotAsk(t *testing.T) {
	v, c := routed()
	s := v.Subnets[seedOutside]
	s.GatewayIP = addr("172.24.4.227") // the router is the external gateway
	v.Subnets[seedOutside] = s
	for k := range plan.Host(v, c).Probes {
		if k.Kind == host.ProbeAnswers {
			t.Errorf("it asks %v", k)
		}
	}
	down := v.Routers[seedRouter]
	down.AdminStateUp = false
	v.Routers[seedRouter] = down
	if n := len(plan.Host(v, c).Probes); n != 0 {
		t.Errorf("a router that is down asks %d questions", n)
	}
	down.AdminStateUp = true
	v.Routers[seedRouter] = down
	c.BridgeMappings = nil
	if n := len(plan.Host(v, c).Probes); n != 0 {
		t.Errorf("a gateway that is not plugged asks %d questions", n)
	}
}
