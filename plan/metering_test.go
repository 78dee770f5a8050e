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
	"neutrino/host"
	"neutrino/plan"
	"neutrino/plan/names"
	"neutrino/view"
)

// The labels of the tests: one of the router's project, one of everybody, and
// one of another project.
const (
	ownLabel    = neutrino.ID("aaaaaaaa-1111-4a5b-8d11-0c7b5b1f5c01")
	sharedLabel = neutrino.ID("bbbbbbbb-2222-4a5b-8d11-0c7b5b1f5c02")
	otherLabel  = neutrino.ID("cccccccc-3333-4a5b-8d11-0c7b5b1f5c03")
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// metered is the seed's router with labels.
func metered() (*view.Host, plan.Config) {
	v, c := routed()
	r := v.Routers[seedRouter]
	r.ProjectID = "red"
	v.Routers[seedRouter] = r
	v.MeteringLabels[ownLabel] = neutrino.MeteringLabel{ID: ownLabel, ProjectID: "red"}
	v.MeteringLabels[sharedLabel] = neutrino.MeteringLabel{ID: sharedLabel, ProjectID: "admin", Shared: true}
	v.MeteringLabels[otherLabel] = neutrino.MeteringLabel{ID: otherLabel, ProjectID: "blue"}
	for _, rule := range []neutrino.MeteringLabelRule{
		{ID: "1", MeteringLabelID: ownLabel, Direction: neutrino.Egress, RemoteIPPrefix: prefix("10.1.0.0/24")},
		{ID: "2", MeteringLabelID: ownLabel, Direction: neutrino.Ingress, RemoteIPPrefix: prefix("10.1.0.0/24")},
		{ID: "3", MeteringLabelID: ownLabel, Direction: neutrino.Egress, Excluded: true, RemoteIPPrefix: prefix("10.1.0.9/32")},
		{ID: "4", MeteringLabelID: sharedLabel, Direction: neutrino.Egress, SourceIPPrefix: prefix("10.1.0.0/24"), DestinationIPPrefix: prefix("203.0.113.0/24")},
		{ID: "5", MeteringLabelID: sharedLabel, Direction: neutrino.Ingress, SourceIPPrefix: prefix("0.0.0.0/0")},
		{ID: "6", MeteringLabelID: sharedLabel, Direction: neutrino.Ingress, DestinationIPPrefix: prefix("2001:db8::/64")},
		{ID: "7", MeteringLabelID: otherLabel, Direction: neutrino.Egress, RemoteIPPrefix: prefix("10.1.0.0/24")},
	} {
		v.MeteringRules[rule.ID] = rule
	}
	return v, c
}

// meterChains are the chains of metering, as text.
func meterChains(s *host.State) string {
	var out []string
	for k, chain := range s.Chains {
		if strings.HasPrefix(k.Chain, "neutron-meter-") {
			out = append(out, strings.Join([]string{k.NetNS, map[int]string{4: "IPv4", 6: "IPv6"}[k.Family], k.Table, k.Chain}, " ")+"\n"+chain.Rules+"\n")
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// Golden, so that every rule is seen.
func TestTheChainsOfMeteringLabels(t *testing.T) {
	v, c := metered()
	state := plan.Host(v, c)
	got := meterChains(state)
	file := filepath.Join("testdata", "metering.txt")
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
	hook := host.HookKey{NetNS: names.RouterNamespace(seedRouter), Family: 4, Table: "filter", Chain: "FORWARD", Rule: "-j neutron-meter-FORWARD"}
	if h, ok := state.Hooks[hook]; !ok || h.Order != 2 {
		t.Errorf("hook %+v, %v", h, ok)
	}
	for k := range state.Chains {
		if len(k.Chain) > 28 {
			t.Errorf("the kernel takes no chain %s", k.Chain)
		}
	}
}

// The counters stay where they are when rules or the gateway go, so that they
// count on; nothing is left without a label or with a router that is down.
func TestCountersStayAsLongAsTheirLabel(t *testing.T) {
	v, c := metered()
	clear(v.MeteringRules)
	delete(v.Ports, seedQG)
	got := meterChains(plan.Host(v, c))
	for _, want := range []string{"neutron-meter-l-aaaaaaaa-11\n-j RETURN", "neutron-meter-l-bbbbbbbb-22\n-j RETURN", "neutron-meter-r-aaaaaaaa-11\n\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	down, c := metered()
	r := down.Routers[seedRouter]
	r.AdminStateUp = false
	down.Routers[seedRouter] = r
	if got := meterChains(plan.Host(down, c)); got != "" {
		t.Errorf("a router that is down counts\n%s", got)
	}
	clear(v.MeteringLabels)
	if got := meterChains(plan.Host(v, c)); got != "" {
		t.Errorf("nobody's counters\n%s", got)
	}
}

func TestTwoLabelsWithOneChainAreNotMixed(t *testing.T) {
	v, c := metered()
	twin := neutrino.ID("aaaaaaaa-1199-4a5b-8d11-0c7b5b1f5c01")
	v.MeteringLabels[twin] = neutrino.MeteringLabel{ID: twin, ProjectID: "red"}
	state := plan.Host(v, c)
	if len(state.Refused) != 1 || state.Refused[0].Object != neutrino.MeteringLabelObject(twin) || !strings.Contains(state.Refused[0].Reason, string(ownLabel)) {
		t.Errorf("refused %+v", state.Refused)
	}
}
