package plan_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neutrino"
	"neutrino/plan"
	"neutrino/plan/names"
	"neutrino/view"
)

// The seed's router, its two ports, its external network and its floating IP.
const (
	seedRouter   = neutrino.ID("2d214fde-293c-4d64-8062-797f80ae2d8f")
	seedQR       = neutrino.ID("c2d7dd02-56aa-4b51-a2b6-4e0d6b5f3c13")
	seedQG       = neutrino.ID("d48b49e0-aabb-4b51-a2b6-4e0d6b5f3c14")
	seedExternal = neutrino.ID("eeeeeeee-68e0-49ca-a658-f1edff54a264")
	seedOutside  = neutrino.ID("ffffffff-0f0e-4a5b-8d11-0c7b5b1f5c11")
	seedFloating = neutrino.ID("aaaaaaaa-0f0e-4a5b-8d11-0c7b5b1f5c11")
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func fixed(subnet neutrino.ID, ip string) []neutrino.FixedIP {
	return []neutrino.FixedIP{{SubnetID: subnet, IPAddress: addr(ip)}}
}

// routed is the seed's network host with everything the seed has.
func routed() (*view.Host, plan.Config) {
	v, c := seed("network1"), settings(networkIP)
	c.BridgeMappings, c.Metadata, c.IsolatedMetadata = map[string]string{"public": "br-ex"}, true, true
	v.Networks[seedExternal] = view.Network{Network: neutrino.Network{ID: seedExternal, AdminStateUp: true, External: true,
		NetworkType: neutrino.Flat, PhysicalNetwork: "public", MTU: 1500}, LocalVLAN: 2}
	v.Subnets[seedOutside] = neutrino.Subnet{ID: seedOutside, NetworkID: seedExternal, IPVersion: 4,
		CIDR: netip.MustParsePrefix("172.24.4.224/28"), GatewayIP: addr("172.24.4.225")}
	v.Ports[seedQR] = neutrino.Port{ID: seedQR, NetworkID: seedNetwork, AdminStateUp: true, MAC: mac("fa:16:3e:ea:64:6e"),
		DeviceOwner: neutrino.OwnerRouter, DeviceID: string(seedRouter), FixedIPs: fixed(seedSubnet, "10.1.0.1")}
	v.Ports[seedQG] = neutrino.Port{ID: seedQG, NetworkID: seedExternal, AdminStateUp: true, MAC: mac("fa:16:3e:5c:a2:ac"),
		DeviceOwner: neutrino.OwnerGateway, DeviceID: string(seedRouter), FixedIPs: fixed(seedOutside, "172.24.4.227")}
	v.Routers[seedRouter] = neutrino.Router{ID: seedRouter, AdminStateUp: true, GatewayPortID: seedQG,
		Gateway: &neutrino.Gateway{NetworkID: seedExternal, EnableSNAT: true, FixedIPs: fixed(seedOutside, "172.24.4.227")}}
	v.FloatingIPs[seedFloating] = neutrino.FloatingIP{ID: seedFloating, FloatingNetworkID: seedExternal, FloatingIPAddress: addr("172.24.4.228"),
		RouterID: seedRouter, PortID: seedPort, FixedIPAddress: addr("10.1.0.2")}
	return v, c
}

// The whole plan of the seed's network host with its router, as text.
func TestSeedRouter(t *testing.T) {
	v, c := routed()
	got := plan.Host(v, c).Text()
	file := filepath.Join("testdata", "seed-router.txt")
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
		t.Errorf("plan (-want +got); run with -update if it is right:\n%s", diff)
	}
}

// lines are the lines of a state's text that the other does not have.
func lines(of, without string) []string {
	have := map[string]bool{}
	for _, l := range strings.Split(without, "\n") {
		have[l] = true
	}
	var out []string
	for _, l := range strings.Split(of, "\n") {
		if !have[l] {
			out = append(out, strings.TrimSpace(l))
		}
	}
	return out
}

// A floating IP is three rules, an address and what may be tracked, and
// nothing else changes.
func TestFloatingIPTouchesOnlyItself(t *testing.T) {
	v, c := routed()
	with := plan.Host(v, c).Text()
	delete(v.FloatingIPs, seedFloating)
	for _, l := range lines(with, plan.Host(v, c).Text()) {
		if !strings.Contains(l, "172.24.4.228") {
			t.Errorf("unexpected: %s", l)
		}
	}
}

// Without source NAT the SNAT rule goes and traffic that nobody translates is
// dropped at the gateway; the floating IP stays.
func TestTheWayOutWaitsForTheGatewayPortAlone(t *testing.T) {
	v, c := routed()
	r := v.Routers[seedRouter]
	r.Routes = []neutrino.HostRoute{{Destination: netip.MustParsePrefix("192.0.2.0/24"), Nexthop: addr("172.24.4.226")},
		{Destination: netip.MustParsePrefix("198.18.0.0/24"), Nexthop: addr("10.1.0.9")}}
	v.Routers[seedRouter] = r
	out := 0
	for k, got := range plan.Host(v, c).Routes {
		if k.NetNS != names.RouterNamespace(seedRouter) {
			continue
		}
		if want := neutrino.PortObject(seedQG); got.Device == names.QG(seedQG) {
			if out++; got.Why.Object != want {
				t.Errorf("route %s is for %s, want %s", k.Dst, got.Why.Object, want)
			}
		} else if got.Why.Object != neutrino.RouterObject(seedRouter) {
			t.Errorf("route %s is for %s", k.Dst, got.Why.Object)
		}
	}
	if out != 2 {
		t.Errorf("%d routes out, want 2", out)
	}
}

func TestWithoutSNAT(t *testing.T) {
	v, c := routed()
	r := v.Routers[seedRouter]
	r.Gateway = &neutrino.Gateway{NetworkID: seedExternal, EnableSNAT: false}
	v.Routers[seedRouter] = r
	text := plan.Host(v, c).Text()
	if strings.Contains(text, "-o qg-d48b49e0-aa -j SNAT") {
		t.Error("the SNAT rule is still there")
	}
	for _, want := range []string{"-o qg-d48b49e0-aa -m mark ! --mark 0x4000000/0xffff0000 -j DROP", "-s 10.1.0.2/32 -j SNAT --to-source 172.24.4.228"} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

// A physical network that the host does not map harms the gateway alone: the
// router routes inside, and the reason names the option.
func TestUnmappedExternalNetworkHarmsOnlyTheGateway(t *testing.T) {
	v, c := routed()
	c.BridgeMappings = nil
	s := plan.Host(v, c)
	if len(s.Refused) != 1 || s.Refused[0].Object != neutrino.PortObject(seedQG) || !strings.Contains(s.Refused[0].Reason, "bridge_mappings") {
		t.Errorf("refused: %v", s.Refused)
	}
	if _, ok := s.OVSPorts[names.Tap(seedQR)]; !ok {
		t.Error("the router's inner interface is gone")
	}
}

// Extra routes with one destination become one route with several next hops;
// one whose next hop no interface has is refused alone.
func TestExtraRoutes(t *testing.T) {
	v, c := routed()
	r := v.Routers[seedRouter]
	to := func(dst, via string) neutrino.HostRoute {
		return neutrino.HostRoute{Destination: netip.MustParsePrefix(dst), Nexthop: addr(via)}
	}
	r.Routes = []neutrino.HostRoute{to("192.168.0.0/16", "10.1.0.9"), to("192.168.0.0/16", "10.1.0.8"), to("192.0.2.0/24", "203.0.113.1")}
	v.Routers[seedRouter] = r
	s := plan.Host(v, c)
	if !strings.Contains(s.Text(), "192.168.0.0/16 via 10.1.0.8,10.1.0.9 dev qr-c2d7dd02-56") {
		t.Errorf("routes:\n%s", s.Text())
	}
	if len(s.Refused) != 1 || !strings.Contains(s.Refused[0].Reason, "203.0.113.1") {
		t.Errorf("refused: %v", s.Refused)
	}
}

// An instance on a VLAN provider network: patch ports to the operator's bridge
// and the translation both ways, and no flow of ours that the operator's own
// traffic meets.
func TestInstanceOnProviderNetwork(t *testing.T) {
	v, c := seed("compute1"), settings(computeIP)
	c.BridgeMappings = map[string]string{"public": "br-ex"}
	n := v.Networks[seedNetwork]
	n.NetworkType, n.PhysicalNetwork, n.SegmentationID = neutrino.VLAN, "public", 100
	v.Networks[seedNetwork] = n
	text := plan.Host(v, c).Text()
	for _, want := range []string{
		"int-br-ex on br-int type=patch options=peer=phy-br-ex", "phy-br-ex on br-ex type=patch options=peer=int-br-ex",
		"br-int table=0 priority=3 in_port=int-br-ex,dl_vlan=100 actions=mod_vlan_vid:1,goto_table:60",
		"br-ex table=0 priority=4 in_port=phy-br-ex,dl_vlan=1 actions=mod_vlan_vid:100,NORMAL",
		"br-ex table=0 priority=2 in_port=phy-br-ex actions=drop",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(text, "tun_id=") {
		t.Error("a provider network has a tunnel flow")
	}
}

// A port forwarding has a chain of its own, reached from the floating IP's.
func TestPortForwarding(t *testing.T) {
	v, c := routed()
	f := v.FloatingIPs[seedFloating]
	f.PortID, f.FixedIPAddress = "", netip.Addr{}
	v.FloatingIPs[seedFloating] = f
	v.Forwardings["1a2b3c4d-0000-4000-8000-000000000000"] = neutrino.PortForwarding{ID: "1a2b3c4d-0000-4000-8000-000000000000",
		FloatingIPID: seedFloating, Protocol: "tcp", ExternalPort: port(2222), InternalPort: port(22), InternalIPAddress: addr("10.1.0.2"), InternalPortID: seedPort}
	for id, ranges := range map[neutrino.ID][2]string{"2b": {"9000:9010", "8000:8010"}, "3c": {"7000:7010", "80:80"}} {
		v.Forwardings[id+"3c4d5e-0000-4000-8000-000000000000"] = neutrino.PortForwarding{ID: id + "3c4d5e-0000-4000-8000-000000000000", FloatingIPID: seedFloating,
			Protocol: "udp", ExternalPortRange: ranges[0], InternalPortRange: ranges[1], InternalIPAddress: addr("10.1.0.2"), InternalPortID: seedPort}
	}
	text := plan.Host(v, c).Text()
	for _, want := range []string{
		"-d 172.24.4.228/32 -p tcp -m tcp --dport 2222 -j DNAT --to-destination 10.1.0.2:22", "-j neutron-l3-agent-pf-1a2b3c4d",
		"qg-d48b49e0-aa 172.24.4.228/32", "172.24.4.228:6:2222 10.1.0.2:22",
		"-p udp -m udp --dport 9000:9010 -j DNAT --to-destination 10.1.0.2:8000-8010/9000", "172.24.4.228:17:9000-9010 10.1.0.2:8000-8010",
		"-p udp -m udp --dport 7000:7010 -j DNAT --to-destination 10.1.0.2:80", "172.24.4.228:17:7000-7010 10.1.0.2:80",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

// Without a router the DHCP namespace answers for metadata and says so by DHCP.
func TestIsolatedMetadata(t *testing.T) {
	v, c := seed("network1"), settings(networkIP)
	c.Metadata, c.IsolatedMetadata = true, true
	text := plan.Host(v, c).Text()
	for _, want := range []string{
		"/169.254.169.254:80 for network/" + string(seedNetwork), "ns-f14c598d-98 169.254.169.254/32",
		"option:classless-static-route,169.254.169.254/32,10.1.0.3,0.0.0.0/0,10.1.0.1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
}
