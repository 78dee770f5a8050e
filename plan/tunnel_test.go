package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/plan"
	"neutrino/plan/pipeline"
	"neutrino/view"
)

// keyed are the matches by which a tunnel type's keys are taken.
func keyed(v *view.Host, t neutrino.NetworkType) (out []string) {
	for k := range plan.Host(v, settings(computeIP)).Flows {
		if k.Bridge == "br-tun" && k.Table == pipeline.FromTunnel(t).Number && k.Match != "" {
			out = append(out, k.Match)
		}
	}
	slices.Sort(out)
	return out
}

// A host is a peer for the networks that it has a port on. With the key of
// another network its frames have no flow, whatever the tunnel's type.
func TestAKeyIsTakenFromTheNetworksPeersOnly(t *testing.T) {
	for _, kind := range []neutrino.NetworkType{neutrino.GRE, neutrino.VXLAN, neutrino.Geneve} {
		v := view.New("compute1")
		for i, id := range []neutrino.ID{"red", "blue", "lone"} {
			v.Networks[id] = view.Network{Network: neutrino.Network{ID: id, AdminStateUp: true, NetworkType: kind, SegmentationID: int64(0x10 + i)}, LocalVLAN: uint16(i + 1)}
		}
		for i, at := range []struct {
			network neutrino.ID
			host    int // 0 for nowhere, 1 for here
		}{{"red", 2}, {"red", 2}, {"red", 3}, {"blue", 3}, {"lone", 0}, {"lone", 1}} {
			n := view.Neighbour{ID: neutrino.ID(fmt.Sprint("p", i)), NetworkID: at.network, MAC: neutrino.MAC{2, byte(i)}}
			if at.host > 0 {
				n.Host, n.TunnelIP = fmt.Sprint("compute", at.host), netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + at.host)})
			}
			v.Neighbours[n.ID] = n
		}
		prefix := string(kind)
		want := []string{
			"in_port=" + prefix + "-c000020c,tun_id=0x10", // red on compute2
			"in_port=" + prefix + "-c000020d,tun_id=0x10", // red on compute3
			"in_port=" + prefix + "-c000020d,tun_id=0x11", // blue on compute3, not on compute2
		}
		if got := keyed(v, kind); !slices.Equal(got, want) {
			t.Errorf("%s: keys are taken by\n%s\nwant\n%s", kind, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		delete(v.Neighbours, "p3")
		if got := keyed(v, kind); !slices.Equal(got, want[:2]) {
			t.Errorf("%s: after its last port went, compute3 still speaks for blue:\n%s", kind, strings.Join(got, "\n"))
		}
	}
}
