package agent

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"neutrino"
	"neutrino/feed"
	"neutrino/host"
	"neutrino/host/hosttest"
	"neutrino/plan"
	"neutrino/reconcile"
	"neutrino/view"
)

// source is a feed that the test writes itself.
type source struct {
	mu      sync.Mutex
	view    feed.View
	state   feed.ClientState
	reports []neutrino.Report
	changed chan struct{}

	inForce *view.Host
	since   time.Time
	asked   []view.Key
	gone    map[view.Key]string
	all     bool
}

func (s *source) Accept(_ feed.View, inForce *view.Host, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inForce, s.since = inForce, since
}

func (s *source) InForce() (*view.Host, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inForce, s.since
}

func (s *source) Ask(keys []view.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.asked, keys) {
		s.asked, s.gone, s.all = keys, nil, false
	}
}

func (s *source) Answer() (map[view.Key]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone, s.all
}

func newSource() *source {
	return &source{changed: make(chan struct{}, 1), state: feed.ClientState{Connected: true}}
}

func (s *source) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (s *source) Changed() <-chan struct{} { return s.changed }

func (s *source) Latest() (feed.View, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view, s.view.Host != nil
}

func (s *source) Report(r neutrino.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, r)
}

func (s *source) State() feed.ClientState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *source) set(v *view.Host, revision int64) {
	s.mu.Lock()
	s.view = feed.View{Host: v, Revision: revision}
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *source) last() (neutrino.Report, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reports) == 0 {
		return neutrino.Report{}, 0
	}
	return s.reports[len(s.reports)-1], len(s.reports)
}

func handsOf(h *hosttest.Host) Hands {
	return Hands{
		Namespaces: h.Namespaces, Bridges: h.Bridges, OVSPorts: h.OVSPorts, VIFs: h.VIFs, Links: h.Links,
		Addresses: h.Addresses, Routes: h.Routes, Sysctls: h.Sysctls, Sets: h.Sets, Chains: h.Chains, Hooks: h.Hooks,
		Zones: h.Zones, Flows: h.Flows, Files: h.Files, Processes: h.Processes,
		Leases: h.Leases, Translations: h.Translations, Adverts: h.Adverts, Listeners: h.Listeners,
	}
}

func config(t *testing.T) Config {
	return Config{
		Host: "c1", Socket: filepath.Join(t.TempDir(), "agent.sock"), Audit: time.Hour,
		RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond,
		Plan: plan.Config{
			IntegrationBridge: "br-int", TunnelBridge: "br-tun", DatapathType: "netdev",
			LocalIP: netip.MustParseAddr("192.0.2.1"), WrapPrefix: "neutron", StatePath: "/var/lib/neutron",
			DHCP: plan.DHCPConfig{LeaseDuration: 86400, DNSDomain: "openstacklocal"},
		},
	}
}

// The ports of the small cloud. Their ids differ in their first characters,
// which is what device and chain names are made of.
const (
	netID   = neutrino.ID("88b1609c-68e0-49ca-a658-f1edff54a264")
	subID   = neutrino.ID("5a0b0d3c-0f0e-4a5b-8d11-0c7b5b1f5c11")
	groupID = neutrino.ID("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
	portA   = neutrino.ID("7c7ae61e-05aa-4b51-a2b6-4e0d6b5f3c11")
	portB   = neutrino.ID("8d8bf72f-16bb-4b51-a2b6-4e0d6b5f3c11")
	portD   = neutrino.ID("f14c598d-98aa-4b51-a2b6-4e0d6b5f3c12")
)

func macOf(n byte) neutrino.MAC { return neutrino.MAC{0xfa, 0x16, 0x3e, 0, 0, n} }

// small is a host with two instances of one group and DHCP.
func small() *view.Host {
	v := view.New("c1")
	v.Networks[netID] = view.Network{DHCP: true, LocalVLAN: 1, Network: neutrino.Network{
		ID: netID, AdminStateUp: true, NetworkType: neutrino.GRE, SegmentationID: 2, MTU: 1458}}
	v.Subnets[subID] = neutrino.Subnet{ID: subID, NetworkID: netID, IPVersion: 4, EnableDHCP: true,
		CIDR: netip.MustParsePrefix("10.1.0.0/24"), GatewayIP: netip.MustParseAddr("10.1.0.1")}
	v.Groups[groupID] = neutrino.SecurityGroup{ID: groupID, Stateful: true}
	rule := neutrino.SecurityGroupRule{ID: "r1", SecurityGroupID: groupID, Direction: neutrino.Ingress,
		EtherType: neutrino.IPv4, RemoteGroupID: groupID}
	v.Rules["r1"] = rule
	v.Members[groupID] = view.Members{Group: groupID, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.4/32")}}
	for i, id := range []neutrino.ID{portA, portB} {
		v.Ports[id] = instance(id, byte(i+4))
	}
	v.Ports[portD] = neutrino.Port{ID: portD, NetworkID: netID, AdminStateUp: true, MAC: macOf(3), HostID: "c1",
		DeviceOwner: neutrino.OwnerDHCP, VIFType: neutrino.VIFOVS, FixedIPs: fixed(3)}
	v.Neighbours["far"] = view.Neighbour{ID: "far", NetworkID: netID, MAC: macOf(99), FixedIPs: fixed(99),
		Host: "c2", TunnelIP: netip.MustParseAddr("192.0.2.2")}
	return v
}

func fixed(n byte) []neutrino.FixedIP {
	return []neutrino.FixedIP{{SubnetID: subID, IPAddress: netip.AddrFrom4([4]byte{10, 1, 0, n})}}
}

func instance(id neutrino.ID, n byte) neutrino.Port {
	return neutrino.Port{ID: id, NetworkID: netID, AdminStateUp: true, MAC: macOf(n), HostID: "c1", CTZone: 4096 + uint16(n),
		DeviceOwner: "compute:nova", VIFType: neutrino.VIFOVS, PortSecurityEnabled: true,
		SecurityGroups: []neutrino.ID{groupID}, FixedIPs: fixed(n)}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// lockedVIFs lets a test plug while the loop runs.
type lockedVIFs struct {
	mu *sync.Mutex
	h  *hosttest.VIFs
}

func (l lockedVIFs) Read(ctx context.Context) (map[string]host.VIF, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.h.Read(ctx)
}

func (l lockedVIFs) Apply(ctx context.Context, d reconcile.Diff[string, host.VIF]) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.h.Apply(ctx, d)
}
