package plan_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neutrino"
	"neutrino/host"
	"neutrino/plan"
	"neutrino/plan/names"
	"neutrino/view"
)

var update = flag.Bool("update", false, "rewrite the expected texts")

// The seed's objects: port 7c7ae61e-05, network 88b1609c, DHCP port f14c598d-98.
const (
	seedNetwork = neutrino.ID("88b1609c-68e0-49ca-a658-f1edff54a264")
	seedSubnet  = neutrino.ID("5a0b0d3c-0f0e-4a5b-8d11-0c7b5b1f5c11")
	seedPort    = neutrino.ID("7c7ae61e-05aa-4b51-a2b6-4e0d6b5f3c11")
	seedDHCP    = neutrino.ID("f14c598d-98aa-4b51-a2b6-4e0d6b5f3c12")
	seedGroup   = neutrino.ID("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee")
)

var (
	seedMAC   = mac("fa:16:3e:03:00:e7")
	computeIP = netip.MustParseAddr("192.0.2.11")
	networkIP = netip.MustParseAddr("192.0.2.10")
)

func mac(s string) neutrino.MAC {
	m, err := neutrino.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

func settings(local netip.Addr) plan.Config {
	return plan.Config{
		IntegrationBridge: "br-int", TunnelBridge: "br-tun", DatapathType: "netdev", LocalIP: local,
		WrapPrefix: "neutron", StatePath: "/var/lib/neutron",
		DHCP: plan.DHCPConfig{LeaseDuration: 86400, DNSDomain: "openstacklocal"},
	}
}

// seed is the seed's cloud as one of its hosts sees it.
func seed(name string) *view.Host {
	v := view.New(name)
	v.Networks[seedNetwork] = view.Network{
		Network:   neutrino.Network{ID: seedNetwork, AdminStateUp: true, NetworkType: neutrino.GRE, SegmentationID: 2, MTU: 1458},
		LocalVLAN: 1, DHCP: name == "network1",
	}
	v.Subnets[seedSubnet] = neutrino.Subnet{
		ID: seedSubnet, NetworkID: seedNetwork, IPVersion: 4, EnableDHCP: true,
		CIDR: netip.MustParsePrefix("10.1.0.0/24"), GatewayIP: netip.MustParseAddr("10.1.0.1"),
	}
	vm := neutrino.Port{
		ID: seedPort, NetworkID: seedNetwork, AdminStateUp: true, MAC: seedMAC, DeviceOwner: "compute:nova",
		FixedIPs:            []neutrino.FixedIP{{SubnetID: seedSubnet, IPAddress: netip.MustParseAddr("10.1.0.2")}},
		PortSecurityEnabled: true, SecurityGroups: []neutrino.ID{seedGroup}, CTZone: 4097,
	}
	dhcp := neutrino.Port{
		ID: seedDHCP, NetworkID: seedNetwork, AdminStateUp: true, MAC: mac("fa:16:3e:10:2f:03"), DeviceOwner: neutrino.OwnerDHCP,
		FixedIPs: []neutrino.FixedIP{{SubnetID: seedSubnet, IPAddress: netip.MustParseAddr("10.1.0.3")}},
	}
	if name == "network1" {
		v.Ports[seedDHCP] = dhcp
		v.Neighbours[seedPort] = neighbour(vm, "compute1", computeIP)
		return v
	}
	v.Ports[seedPort] = vm
	v.Neighbours[seedDHCP] = neighbour(dhcp, "network1", networkIP)
	seedRules(v)
	return v
}

func neighbour(p neutrino.Port, at string, ip netip.Addr) view.Neighbour {
	return view.Neighbour{ID: p.ID, NetworkID: p.NetworkID, MAC: p.MAC, FixedIPs: p.FixedIPs, DeviceOwner: p.DeviceOwner, Host: at, TunnelIP: ip}
}

func port(n int) *int { return &n }

// seedRules are the default group's rules after the seed has opened SSH and HTTP.
func seedRules(v *view.Host) {
	v.Groups[seedGroup] = neutrino.SecurityGroup{ID: seedGroup, Name: "default", Stateful: true}
	for i, r := range []neutrino.SecurityGroupRule{
		{Direction: neutrino.Egress, EtherType: neutrino.IPv4},
		{Direction: neutrino.Egress, EtherType: neutrino.IPv6},
		{Direction: neutrino.Ingress, EtherType: neutrino.IPv4, RemoteGroupID: seedGroup},
		{Direction: neutrino.Ingress, EtherType: neutrino.IPv6, RemoteGroupID: seedGroup},
		{Direction: neutrino.Ingress, EtherType: neutrino.IPv4, Protocol: "icmp"},
		{Direction: neutrino.Ingress, EtherType: neutrino.IPv4, Protocol: "tcp", PortRangeMin: port(22), PortRangeMax: port(22)},
		{Direction: neutrino.Ingress, EtherType: neutrino.IPv4, Protocol: "tcp", PortRangeMin: port(8000), PortRangeMax: port(8100),
			NormalizedCIDR: netip.MustParsePrefix("192.0.2.0/24")},
	} {
		r.ID = neutrino.ID(fmt.Sprintf("%08d-0000-4000-8000-000000000000", i))
		r.SecurityGroupID = seedGroup
		v.Rules[r.ID] = r
	}
	v.Members[seedGroup] = view.Members{Group: seedGroup, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.2/32")}}
}

// The whole plan of both hosts of the seed, as text: read it beside the seed.
func TestSeed(t *testing.T) {
	for name, ip := range map[string]netip.Addr{"compute1": computeIP, "network1": networkIP} {
		t.Run(name, func(t *testing.T) {
			got := plan.Host(seed(name), settings(ip)).Text()
			file := filepath.Join("testdata", "seed-"+name+".txt")
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
				t.Errorf("plan of %s (-want +got); run with -update if it is right:\n%s", name, diff)
			}
		})
	}
}

// A host without networks has the bridges, the empty chains and no flow that
// names a tunnel key or a VLAN, but the dead one (seed line 108).
func TestEmptyHostDropsEverything(t *testing.T) {
	s := plan.Host(view.New("compute1"), settings(computeIP))
	for k, f := range s.Flows {
		if strings.Contains(k.Match, "tun_id") || strings.Contains(k.Match, "dl_vlan") && !strings.Contains(k.Match, "4095") {
			t.Errorf("unexpected flow %v %v", k, f)
		}
	}
	if len(s.VIFs)+len(s.Namespaces)+len(s.Processes)+len(s.Sets)+len(s.Zones) != 0 {
		t.Errorf("an empty host has items:\n%s", s.Text())
	}
}

// Everything of a port goes when the port goes: the plan without it is the
// plan that never had it.
func TestDeletedPortLeavesNothing(t *testing.T) {
	v := seed("compute1")
	delete(v.Ports, seedPort)
	for k := range plan.Host(v, settings(computeIP)).Chains {
		if strings.Contains(k.Chain, names.ChainKey(seedPort)) {
			t.Errorf("chain %s is left", k.Chain)
		}
	}
}

// Two ports whose device names collide: the second is refused with its
// reason, the first does not notice.
func TestCollidingNamesHarmOnlyTheSecondPort(t *testing.T) {
	v := seed("compute1")
	twin := v.Ports[seedPort]
	twin.ID = "7c7ae61e-05aa-4b51-a2b6-4e0d6b5f3c99"
	twin.MAC, twin.CTZone = mac("fa:16:3e:99:99:99"), 4098
	before := plan.Host(v, settings(computeIP)).Text()
	v.Ports[twin.ID] = twin
	s := plan.Host(v, settings(computeIP))
	if len(s.Refused) != 1 || s.Refused[0].Object != neutrino.PortObject(twin.ID) || !strings.Contains(s.Refused[0].Reason, string(seedPort)) {
		t.Errorf("refused: %v", s.Refused)
	}
	s.Refused = nil
	if got := s.Text(); got != before {
		t.Errorf("the first port's plan changed:\n%s", cmp.Diff(before, got))
	}
}

// A port on a network or itself set down stays on the dead VLAN.
func TestAdminDownIsDeadVLAN(t *testing.T) {
	v := seed("compute1")
	p := v.Ports[seedPort]
	p.AdminStateUp = false
	v.Ports[seedPort] = p
	if vif := plan.Host(v, settings(computeIP)).VIFs[string(seedPort)]; vif.Tag != neutrino.DeadVLAN || !vif.Dead {
		t.Errorf("vif: %+v", vif)
	}
}

// With per-port options a SIGHUP would kill dnsmasq 2.90, so it is restarted.
func TestTaggedHostsRestartDnsmasq(t *testing.T) {
	v := seed("network1")
	n := v.Neighbours[seedPort]
	n.ExtraDHCPOpts = []neutrino.DHCPOption{{Name: "bootfile-name", Value: "pxelinux.0", IPVersion: 4}}
	v.Neighbours[seedPort] = n
	s := plan.Host(v, settings(networkIP))
	dir := "/var/lib/neutron/dhcp/" + string(seedNetwork)
	if got := s.Processes[dir].Reload; got != host.ReloadRestart {
		t.Errorf("reload: %s", got)
	}
	if got := s.Files[dir+"/host"].Content; got != "fa:16:3e:03:00:e7,host-10-1-0-2.openstacklocal,10.1.0.2,set:port-"+string(seedPort)+"\n" {
		t.Errorf("host file: %q", got)
	}
	if got := s.Files[dir+"/opts"].Content; !strings.Contains(got, "tag:port-"+string(seedPort)+",option:bootfile-name,pxelinux.0\n") {
		t.Errorf("opts file: %q", got)
	}
}

// crowded is a host with n ports of one default group on ten networks.
func crowded(n int) *view.Host {
	v := view.New("compute1")
	seedRules(v)
	members := view.Members{Group: seedGroup}
	for i := range n {
		net := neutrino.ID(fmt.Sprintf("88b1609c-68e0-49ca-a658-%012d", i%10))
		sub := neutrino.ID(fmt.Sprintf("5a0b0d3c-0f0e-4a5b-8d11-%012d", i%10))
		v.Networks[net] = view.Network{Network: neutrino.Network{ID: net, AdminStateUp: true, NetworkType: neutrino.GRE, SegmentationID: int64(i%10 + 2), MTU: 1458}, LocalVLAN: uint16(i%10 + 1)}
		v.Subnets[sub] = neutrino.Subnet{ID: sub, NetworkID: net, IPVersion: 4, CIDR: netip.MustParsePrefix("10.1.0.0/16"), EnableDHCP: true}
		ip := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		p := neutrino.Port{ID: neutrino.ID(fmt.Sprintf("%08x-%04x-4b51-a2b6-4e0d6b5f3c11", i*2654435761, i)), NetworkID: net, AdminStateUp: true,
			MAC: neutrino.MAC{0xfa, 0x16, 0x3e, 1, byte(i >> 8), byte(i)}, DeviceOwner: "compute:nova", PortSecurityEnabled: true,
			FixedIPs: []neutrino.FixedIP{{SubnetID: sub, IPAddress: ip}}, SecurityGroups: []neutrino.ID{seedGroup}, CTZone: uint16(4097 + i)}
		v.Ports[p.ID] = p
		members.Prefixes = append(members.Prefixes, netip.PrefixFrom(ip, 32))
		q := p
		q.ID = neutrino.ID(fmt.Sprintf("%08x-%04x-4b51-a2b6-4e0d6b5f3c12", i*2654435761, i))
		q.MAC[3] = 2
		v.Neighbours[q.ID] = neighbour(q, "compute2", networkIP)
	}
	v.Members[seedGroup] = members
	return v
}

// BenchmarkPlan500 plans a host of 500 ports and compares it with the plan
// before, as the agent does for each change. Target: 60 ms.
func BenchmarkPlan500(b *testing.B) {
	v, c := crowded(500), settings(computeIP)
	have := plan.Host(v, c)
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		want := plan.Host(v, c)
		if differ(have, want) != 0 {
			b.Fatal("two plans of one view differ")
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	for unit, n := range map[string]int{"p50-ms": len(took) / 2, "p99-ms": len(took) * 99 / 100, "max-ms": len(took) - 1} {
		b.ReportMetric(float64(took[n].Microseconds())/1000, unit)
	}
	b.ReportMetric(float64(len(have.Flows)), "flows")
	b.ReportMetric(float64(len(have.Chains)), "chains")
}

func differ(a, b *host.State) int {
	n := len(a.Flows) - len(b.Flows) + len(a.Chains) - len(b.Chains)
	for k, f := range b.Flows {
		if old, ok := a.Flows[k]; !ok || old.Actions != f.Actions {
			n++
		}
	}
	for k, c := range b.Chains {
		if old, ok := a.Chains[k]; !ok || old.Rules != c.Rules {
			n++
		}
	}
	for k, z := range b.Zones {
		if a.Zones[k] != z {
			n++
		}
	}
	return n
}
