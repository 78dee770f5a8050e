package plan_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/host"
	"neutrino/plan"
	"neutrino/view"
)

// received is the host that a feed makes of the rows, with an attribute that this
// program does not know in the one that is named.
func received(t *testing.T, v *view.Host, newer view.Key, attribute string) *view.Host {
	t.Helper()
	rows := view.Rows(v)
	for i, r := range rows {
		if r.Key() == newer {
			var all map[string]json.RawMessage
			if err := json.Unmarshal(r.Value, &all); err != nil {
				t.Fatal(err)
			}
			all[attribute] = json.RawMessage(`"x"`)
			rows[i].Value, _ = json.Marshal(all)
		}
	}
	h, err := view.Apply(view.New(v.Name), view.Delta{Puts: rows})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// refusals are the reasons of what a plan leaves out, by object.
func refusals(s *host.State) map[string]string {
	out := map[string]string{}
	for _, r := range s.Refused {
		out[r.Object] += r.Reason + "\n"
	}
	return out
}

// lets are the rules of all chains that let something pass.
func lets(s *host.State) map[string]bool {
	out := map[string]bool{}
	for k, c := range s.Chains {
		for _, rule := range strings.Split(c.Rules, "\n") {
			if strings.HasSuffix(rule, "-j RETURN") || strings.HasSuffix(rule, "-j ACCEPT") {
				out[k.NetNS+" "+k.Table+" "+k.Chain+" "+rule] = true
			}
		}
	}
	return out
}

// A newer server lets a group of addresses in to port 22. To a program that does
// not know the attribute, the rest of the rule says: the whole world.
func TestARuleWithAnUnknownAttributeOpensNothing(t *testing.T) {
	v := seed("compute1")
	port := v.Ports[seedPort]
	clear(v.Rules) // the seed's own has port 22
	ssh, low := neutrino.ID("ssh"), 22
	v.Rules[ssh] = neutrino.SecurityGroupRule{ID: ssh, SecurityGroupID: port.SecurityGroups[0], Direction: neutrino.Ingress,
		EtherType: neutrino.IPv4, Protocol: "tcp", PortRangeMin: &low, PortRangeMax: &low}
	open := func(s *host.State) bool { return strings.Contains(s.Text(), "--dport 22 ") }
	if !open(plan.Host(v, settings(computeIP))) {
		t.Fatal("the rule opens nothing when it is understood")
	}
	s := plan.Host(received(t, v, view.Key{Kind: "rule", ID: string(ssh)}, "remote_address_group_id"), settings(computeIP))
	if open(s) {
		t.Error("port 22 is open to the world")
	}
	if reason := refusals(s)[neutrino.PortObject(seedPort)]; !strings.Contains(reason, "rule ssh") || !strings.Contains(reason, "remote_address_group_id") {
		t.Errorf("the port's reason is %q", reason)
	}
	delete(v.Rules, ssh)
	rest := plan.Host(v, settings(computeIP))
	rest.Refused, s.Refused = nil, nil
	if s.Text() != rest.Text() {
		t.Error("more than the rule is left out")
	}
}

// Whatever row it is that is not understood: somebody is told, nothing more is
// let pass, and no other object of its kind is missing.
func TestARowThatIsNotUnderstoodClosesAndIsReported(t *testing.T) {
	for _, name := range []string{"compute1", "network1"} {
		v := seed(name)
		whole := plan.Host(v, settings(computeIP))
		for _, r := range view.Rows(v) {
			got := plan.Host(received(t, v, r.Key(), "of_tomorrow"), settings(computeIP))
			if !strings.Contains(strings.Join(slices.Collect(maps.Values(refusals(got))), ""), "of_tomorrow") {
				t.Errorf("%s, %s %s: refused are %v", name, r.Kind, r.ID, got.Refused)
			}
			before := lets(whole)
			for rule := range lets(got) {
				if !before[rule] {
					t.Errorf("%s, %s %s: lets pass what was not: %s", name, r.Kind, r.ID, rule)
				}
			}
			if len(got.Namespaces) > len(whole.Namespaces) || len(got.OVSPorts) > len(whole.OVSPorts) {
				t.Errorf("%s, %s %s: there is more than before", name, r.Kind, r.ID)
			}
		}
	}
}

// What stands on an object that is not understood says so too.
func TestWhatStandsOnAMisreadObjectIsRefused(t *testing.T) {
	v := seed("compute1")
	port := v.Ports[seedPort]
	for _, key := range []view.Key{
		{Kind: "network", ID: string(port.NetworkID)}, {Kind: "group", ID: string(port.SecurityGroups[0])}, {Kind: "port", ID: string(seedPort)},
	} {
		s := plan.Host(received(t, v, key, "of_tomorrow"), settings(computeIP))
		if reason := refusals(s)[neutrino.PortObject(seedPort)]; !strings.Contains(reason, key.Kind+" "+key.ID) {
			t.Errorf("%s: the port's reason is %q", key.Kind, reason)
		}
		if vif, wired := s.VIFs[string(seedPort)]; wired && key.Kind != "group" {
			t.Errorf("%s: the port is wired: %+v", key.Kind, vif)
		}
	}
	n := seed("network1")
	for id := range n.Routers {
		s := plan.Host(received(t, n, view.Key{Kind: "router", ID: string(id)}, "of_tomorrow"), settings(networkIP))
		if reason := refusals(s)[neutrino.RouterObject(id)]; !strings.Contains(reason, "of_tomorrow") {
			t.Errorf("router: %q", reason)
		}
	}
}

// A value can be unknown too: a protocol that has no number here is not any.
func TestARuleWithAnUnknownValueOpensNothing(t *testing.T) {
	for what, change := range map[string]func(*neutrino.SecurityGroupRule){
		"protocol":  func(r *neutrino.SecurityGroupRule) { r.Protocol = "quic" },
		"ethertype": func(r *neutrino.SecurityGroupRule) { r.EtherType = "IPv9" },
		"direction": func(r *neutrino.SecurityGroupRule) { r.Direction = "both" },
	} {
		v := seed("compute1")
		without := plan.Host(v, settings(computeIP))
		r := neutrino.SecurityGroupRule{ID: "new", SecurityGroupID: v.Ports[seedPort].SecurityGroups[0], Direction: neutrino.Ingress, EtherType: neutrino.IPv4}
		change(&r)
		v.Rules["new"] = r
		s := plan.Host(v, settings(computeIP))
		if reason := refusals(s)[neutrino.PortObject(seedPort)]; !strings.Contains(reason, what) {
			t.Errorf("%s: the reason is %q", what, reason)
		}
		s.Refused = without.Refused
		if s.Text() != without.Text() {
			t.Errorf("%s: the rule has come to something", what)
		}
	}
}
