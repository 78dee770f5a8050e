package plan_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neutrino"
	"neutrino/host"
	"neutrino/plan"
	"neutrino/view"
)

// compute2 is a host that the seed's instance may move to.
func compute2() *view.Host {
	v := seed("compute1")
	v.Name = "compute2"
	p := v.Ports[seedPort]
	delete(v.Ports, seedPort)
	v.Standby[seedPort] = p
	v.Neighbours[seedPort] = neighbour(p, "compute1", computeIP)
	return v
}

// A port that is still to come is filtered and on the dead VLAN: it sees nobody's
// traffic and nobody sees its (failures.md, S41). When it is here, its VLAN is
// all that is new on the host's own bridge.
func TestAMigratingPortIsFilteredBeforeItIsWired(t *testing.T) {
	v := compute2()
	waiting := plan.Host(v, settings(networkIP))
	vif := waiting.VIFs[string(seedPort)]
	if vif.Tag != neutrino.DeadVLAN || !vif.Dead {
		t.Errorf("vif: %+v", vif)
	}
	v.Ports[seedPort] = v.Standby[seedPort]
	delete(v.Standby, seedPort)
	delete(v.Neighbours, seedPort)
	here := plan.Host(v, settings(networkIP))
	if vif := here.VIFs[string(seedPort)]; vif.Tag != 1 || vif.Dead {
		t.Errorf("vif: %+v", vif)
	}
	for what, diff := range map[string]string{
		"chains": cmp.Diff(waiting.Chains, here.Chains), "hooks": cmp.Diff(waiting.Hooks, here.Hooks),
		"sets": cmp.Diff(waiting.Sets, here.Sets), "zones": cmp.Diff(waiting.Zones, here.Zones),
		"flows of br-int": cmp.Diff(of(waiting, "br-int"), of(here, "br-int")),
	} {
		if diff != "" {
			t.Errorf("%s change when the port becomes active (-waiting +here):\n%s", what, diff)
		}
	}
	toPeer := func(s *host.State) (n int) {
		for k := range of(s, "br-tun") {
			if strings.Contains(k.Match, "dl_dst="+seedMAC.String()) {
				n++
			}
		}
		return n
	}
	if toPeer(waiting) != 1 || toPeer(here) != 0 {
		t.Errorf("flows to the port's old host: %d before, %d after", toPeer(waiting), toPeer(here))
	}
}

func of(s *host.State, bridge string) map[host.FlowKey]host.Flow {
	flows := maps.Clone(s.Flows)
	maps.DeleteFunc(flows, func(k host.FlowKey, _ host.Flow) bool { return k.Bridge != bridge })
	return flows
}
