package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/host/iptables"
	"neutrino/host/realtest"
	"neutrino/plan/names"
)

// counted is what a label counted in the router's namespace, when the last
// packets of a connection that ends have come through.
func (c *crossroads) counted(label neutrino.ID) iptables.Count {
	c.t.Helper()
	read := func() iptables.Count {
		counts, err := c.engine.Counters(c.t.Context(), c.ns, 4, "filter")
		if err != nil {
			c.t.Fatal(err)
		}
		return counts[names.MeterChains("neutron").Counter(label)]
	}
	last := read()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		time.Sleep(60 * time.Millisecond) // longer than an acknowledgement waits
		now := read()
		if now == last {
			return now
		}
		last = now
	}
	c.t.Fatalf("traffic does not end: %+v", last)
	return last
}

// witness counts in the kernel what an operator's own rules see of a station
// and the outside.
func (c *crossroads) witness(address string) func() iptables.Count {
	c.t.Helper()
	qg := names.QG(seedQG)
	sh(c.t, fmt.Sprintf(`ip netns exec %[1]s iptables -t mangle -A FORWARD -s %[2]s -o %[3]s
		ip netns exec %[1]s iptables -t mangle -A FORWARD -d %[2]s -i %[3]s`, c.ns, address, qg))
	return func() (sum iptables.Count) {
		c.t.Helper()
		for line := range strings.Lines(realtest.Run(c.t, "ip", "netns", "exec", c.ns, "iptables-save", "-c", "-t", "mangle")) {
			var n iptables.Count
			if seen, _ := fmt.Sscanf(line, "[%d:%d] -A FORWARD", &n.Packets, &n.Bytes); seen == 2 && strings.Contains(line, " "+address+"/32 ") {
				sum.Packets, sum.Bytes = sum.Packets+n.Packets, sum.Bytes+n.Bytes
			}
		}
		return sum
	}
}

// What a label's rules choose is counted on the real kernel, what they exclude is
// not, and what was counted stays when rules, other labels and floating IPs
// come and go.
func TestMeteringOnTheRealKernel(t *testing.T) {
	c := newCrossroads(t)
	v, config := scoped(0, 0, 0)
	r := v.Routers[seedRouter]
	r.ProjectID = "red"
	v.Routers[seedRouter] = r
	v.MeteringLabels[ownLabel] = neutrino.MeteringLabel{ID: ownLabel, ProjectID: "red"}
	v.MeteringRules["1"] = neutrino.MeteringLabelRule{ID: "1", MeteringLabelID: ownLabel, Direction: neutrino.Egress, RemoteIPPrefix: prefix("10.1.0.0/24")}
	v.MeteringRules["2"] = neutrino.MeteringLabelRule{ID: "2", MeteringLabelID: ownLabel, Direction: neutrino.Ingress, RemoteIPPrefix: prefix("10.1.0.0/24")}
	v.MeteringRules["3"] = neutrino.MeteringLabelRule{ID: "3", MeteringLabelID: ownLabel, Direction: neutrino.Egress, SourceIPPrefix: prefix("10.1.0.0/16")}
	c.apply(v, config)
	if got := c.counted(ownLabel); got != (iptables.Count{}) {
		t.Fatalf("counted %+v before there was anything", got)
	}
	seen := c.witness(addressA2)
	connect := func(station, from, to string) iptables.Count {
		t.Helper()
		if c.reach(station, from, to) == "" {
			t.Fatalf("%s does not reach %s", station, to)
		}
		return c.counted(ownLabel)
	}
	first := connect(scopeA, addressA2, addressOut)
	// Two rules choose what goes out: it is counted once.
	if want := seen(); first != want || want.Packets < 6 {
		t.Errorf("one connection counted as %+v, and it was %+v", first, want)
	}
	if got := connect(scopeB, "", addressOut); got != first {
		t.Errorf("another network counted: %+v after %+v", got, first)
	}
	if got := connect(scopeA, addressA2, addressB); got != first {
		t.Errorf("traffic inside counted: %+v after %+v", got, first)
	}

	// The floating IP's instance is excluded; its rule comes before the others.
	v.MeteringRules["4"] = neutrino.MeteringLabelRule{ID: "4", MeteringLabelID: ownLabel, Direction: neutrino.Egress, Excluded: true, RemoteIPPrefix: prefix(addressA + "/32")}
	v.MeteringRules["5"] = neutrino.MeteringLabelRule{ID: "5", MeteringLabelID: ownLabel, Direction: neutrino.Ingress, Excluded: true, RemoteIPPrefix: prefix(addressA + "/32")}
	v.MeteringLabels[sharedLabel] = neutrino.MeteringLabel{ID: sharedLabel, Shared: true}
	v.MeteringRules["6"] = neutrino.MeteringLabelRule{ID: "6", MeteringLabelID: sharedLabel, Direction: neutrino.Ingress, DestinationIPPrefix: prefix(addressA + "/32")}
	c.apply(v, config)
	if got := c.counted(ownLabel); got != first {
		t.Errorf("other rules set %+v to %+v", first, got)
	}
	if got := connect(scopeA, addressA, addressOut); got != first {
		t.Errorf("what is excluded counted: %+v after %+v", got, first)
	}
	shared := c.counted(sharedLabel)
	if shared.Packets == 0 {
		t.Error("the shared label counted nothing")
	}
	delete(v.FloatingIPs, seedFloating)
	for _, id := range []neutrino.ID{"1", "3", "4"} {
		delete(v.MeteringRules, id)
	}
	delete(v.MeteringLabels, sharedLabel)
	c.apply(v, config)
	if got := c.counted(ownLabel); got != first {
		t.Errorf("rules that went set %+v to %+v", first, got)
	}
	before := seen()
	got, now := connect(scopeA, addressA2, addressOut), seen()
	// Only what comes in is still chosen.
	if got.Packets <= first.Packets || got.Packets-first.Packets >= now.Packets-before.Packets {
		t.Errorf("counted %+v after %+v, of %+v after %+v", got, first, now, before)
	}
}
