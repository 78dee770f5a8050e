package plan_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neutrino"
	"neutrino/plan"
	"neutrino/plan/names"
	"neutrino/view"
)

// A second network behind the seed's router.
const (
	otherNetwork = neutrino.ID("bbbbbbbb-68e0-49ca-a658-f1edff54a264")
	otherSubnet  = neutrino.ID("cccccccc-0f0e-4a5b-8d11-0c7b5b1f5c11")
	otherQR      = neutrino.ID("dddddddd-56aa-4b51-a2b6-4e0d6b5f3c13")
)

// scoped is the seed's router with a second subnet, and the address scopes of
// its inner networks and of the external one; 0 is none.
func scoped(first, second, external uint16) (*view.Host, plan.Config) {
	v, c := routed()
	v.Networks[otherNetwork] = view.Network{Network: neutrino.Network{ID: otherNetwork, AdminStateUp: true, NetworkType: neutrino.GRE,
		SegmentationID: 7, MTU: 1458}, LocalVLAN: 3}
	v.Subnets[otherSubnet] = neutrino.Subnet{ID: otherSubnet, NetworkID: otherNetwork, IPVersion: 4,
		CIDR: netip.MustParsePrefix("10.2.0.0/24"), GatewayIP: addr("10.2.0.1")}
	v.Ports[otherQR] = neutrino.Port{ID: otherQR, NetworkID: otherNetwork, AdminStateUp: true, MAC: mac("fa:16:3e:ea:64:6f"),
		DeviceOwner: neutrino.OwnerRouter, DeviceID: string(seedRouter), FixedIPs: fixed(otherSubnet, "10.2.0.1")}
	for id, mark := range map[neutrino.ID]uint16{seedNetwork: first, otherNetwork: second, seedExternal: external} {
		n := v.Networks[id]
		n.ScopeIPv4 = mark
		v.Networks[id] = n
	}
	return v, c
}

// routerChains are the chains of the router's namespace that have rules, as text.
func routerChains(v *view.Host, c plan.Config) string {
	var out []string
	for k, chain := range plan.Host(v, c).Chains {
		if k.NetNS == names.RouterNamespace(seedRouter) && k.Family == 4 && chain.Rules != "" {
			out = append(out, k.Table+" "+k.Chain+"\n"+chain.Rules+"\n")
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// The inner networks are in two scopes, and the external network in the second
// one's; the floating IP's instance is in the first: golden, so that every rule is seen.
func TestTheRulesOfTwoScopes(t *testing.T) {
	v, c := scoped(1030, 1031, 1031)
	got := routerChains(v, c)
	file := filepath.Join("testdata", "scopes.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("rules (-want +got); run with -update if they are right:\n%s", diff)
	}
}

// Packets keep the scope that they came in by: the mark of an interface is the
// one that is asked for on the way out.
func TestEachInterfaceHasTheMarkOfItsScope(t *testing.T) {
	for _, k := range []struct {
		first, second, external uint16
		has, lacks              []string
	}{
		{0, 0, 0, []string{"-o qr-dddddddd-56 -m mark ! --mark 0x4000000/0xffff0000 -j DROP"},
			[]string{"--mark 0x4060000", "-j ACCEPT\n-o qg", "-d 172.24.4.228/32 -j MARK"}},
		{1030, 1030, 0, []string{
			"-i qr-c2d7dd02-56 -j MARK --set-xmark 0x4060000/0xffff0000", "-i qr-dddddddd-56 -j MARK --set-xmark 0x4060000/0xffff0000",
			"-o qr-dddddddd-56 -m mark ! --mark 0x4060000/0xffff0000 -j DROP", "-i qg-d48b49e0-aa -j MARK --set-xmark 0x4000000/0xffff0000",
			"-d 172.24.4.228/32 -j MARK --set-xmark 0x4060000/0xffff0000", "-s 10.1.0.2/32 -j neutron-l3-agent-float-snat",
			"-o qg-d48b49e0-aa -j MARK --set-xmark 0x4000000/0xffff0000",
		}, []string{"-o qg-d48b49e0-aa -m connmark --mark 0x4"}},
		{1030, 65535, 1030, []string{
			"-o qg-d48b49e0-aa -m connmark --mark 0x4060000/0xffff0000 -j ACCEPT", "-i qr-dddddddd-56 -j MARK --set-xmark 0xffff0000/0xffff0000",
			"-d 10.2.0.1/32 -i qg-d48b49e0-aa -j DROP",
		}, []string{"-d 172.24.4.228/32 -j MARK", "-d 10.1.0.1/32 -i qg-d48b49e0-aa -j DROP"}},
	} {
		v, c := scoped(k.first, k.second, k.external)
		text := plan.Host(v, c).Text()
		for _, want := range k.has {
			if !strings.Contains(text, want) {
				t.Errorf("scopes %d, %d, outside %d: missing %s", k.first, k.second, k.external, want)
			}
		}
		for _, not := range k.lacks {
			if strings.Contains(text, not) {
				t.Errorf("scopes %d, %d, outside %d: has %s", k.first, k.second, k.external, not)
			}
		}
	}
}

// A port forwarding crosses into its instance's scope by its own ports only.
func TestAPortForwardingCrossesScopes(t *testing.T) {
	v, c := scoped(1030, 0, 0)
	f := v.FloatingIPs[seedFloating]
	f.PortID, f.FixedIPAddress = "", netip.Addr{}
	v.FloatingIPs[seedFloating] = f
	v.Forwardings["1a2b3c4d-0000-4000-8000-000000000000"] = neutrino.PortForwarding{ID: "1a2b3c4d-0000-4000-8000-000000000000",
		FloatingIPID: seedFloating, Protocol: "tcp", ExternalPort: port(2222), InternalPort: port(22), InternalIPAddress: addr("10.1.0.2"), InternalPortID: seedPort}
	text := plan.Host(v, c).Text()
	for _, want := range []string{
		"-d 172.24.4.228/32 -p tcp -m tcp --dport 2222 -j MARK --set-xmark 0x4060000/0xffff0000",
		"-s 10.1.0.2/32 -p tcp -m tcp --sport 22 -j neutron-l3-agent-float-snat",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

// IPv6 is never translated: another scope does not pass the gateway either.
func TestIPv6ScopesAreApartAtTheGatewayToo(t *testing.T) {
	v, c := scoped(0, 0, 0)
	n := v.Networks[seedNetwork]
	n.ScopeIPv6 = 1040
	v.Networks[seedNetwork] = n
	for id, cidr := range map[neutrino.ID]string{seedQR: "2001:db8:1::/64", seedQG: "2001:db8:2::/64"} {
		p, s := v.Ports[id], neutrino.ID("6"+string(id)[1:])
		prefix := netip.MustParsePrefix(cidr)
		v.Subnets[s] = neutrino.Subnet{ID: s, NetworkID: p.NetworkID, IPVersion: 6, CIDR: prefix}
		p.FixedIPs = append(p.FixedIPs, neutrino.FixedIP{SubnetID: s, IPAddress: prefix.Addr().Next()})
		v.Ports[id] = p
	}
	text := plan.Host(v, c).Text()
	for _, want := range []string{
		"-i qr-c2d7dd02-56 -j MARK --set-xmark 0x4100000/0xffff0000", "-o qr-c2d7dd02-56 -m mark ! --mark 0x4100000/0xffff0000 -j DROP",
		"-o qg-d48b49e0-aa -m mark ! --mark 0x4000000/0xffff0000 -j DROP",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
}
