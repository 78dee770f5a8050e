package names_test

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"neutrino"
	"neutrino/plan/names"
)

const port = neutrino.ID("7c7ae61e-05aa-4b51-a2b6-4e0d6b5f3c11")

// The names of the seed, letter for letter.
func TestSeedNames(t *testing.T) {
	quantum, neutron := names.OVSChains("quantum"), names.OVSChains("neutron")
	for got, want := range map[string]string{
		names.Tap(port): "tap7c7ae61e-05", names.QBR(port): "qbr7c7ae61e-05", names.QVB(port): "qvb7c7ae61e-05", names.QVO(port): "qvo7c7ae61e-05",
		names.NS("f14c598d-98aa"): "ns-f14c598d-98", names.DHCPNamespace("88b1609c-68e0-49ca-a658-f1edff54a264"): "qdhcp-88b1609c-68e0-49ca-a658-f1edff54a264",
		quantum.Out(port): "quantum-openvswi-o7c7ae61e-0", quantum.In(port): "quantum-openvswi-i7c7ae61e-0", quantum.Wrap("sg-chain"): "quantum-openvswi-sg-chain",
		neutron.Wrap("FORWARD"): "neutron-openvswi-FORWARD", neutron.FilterTop(): "neutron-filter-top", neutron.Spoof(port): "neutron-openvswi-s7c7ae61e-0",
		names.Tunnel(neutrino.GRE, netip.MustParseAddr("10.0.0.2")):      "gre-0a000002",
		names.Set(neutrino.IPv4, "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"): "NIPv4aaaaaaaa-bbbb-cccc-dddd-",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Every name fits into what the kernel takes, and reads back.
func TestNamesFitAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b [16]byte
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "random"))
		id := neutrino.NewID(b)
		for _, name := range []string{names.Tap(id), names.QBR(id), names.QVB(id), names.QVO(id), names.NS(id)} {
			prefix, part, ok := names.ParseDevice(name)
			if len(name) > 15 || !ok || prefix != name[:3] || !strings.HasPrefix(string(id), part) {
				t.Fatalf("%s reads back as %s %s %v", name, prefix, part, ok)
			}
		}
		if c := names.OVSChains("neutron").Spoof(id); len(c) > 28 {
			t.Fatalf("chain %s is too long", c)
		}
		v6 := netip.AddrFrom16(b)
		for _, typ := range neutrino.TunnelTypes {
			if n := names.Tunnel(typ, v6); len(n) > 15 {
				t.Fatalf("tunnel %s is too long", n)
			}
		}
	})
}
