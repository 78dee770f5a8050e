package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/host"
	"neutrino/plan"
	"neutrino/view"
)

const spyPort = neutrino.ID("5b5b5b5b-0000-4000-8000-000000000001")

// withSpy is the seed's compute host with a port of another project on the
// seed's network, whose pairs are given.
func withSpy(project string, pairs ...neutrino.AddressPair) *view.Host {
	v := seed("compute1")
	vm := v.Ports[seedPort]
	vm.ProjectID = "victim"
	v.Ports[seedPort] = vm
	far := neighbour(vm, "compute2", netip.MustParseAddr("192.0.2.12"))
	far.ID, far.MAC, far.ProjectID = "far", mac("fa:16:3e:0f:0f:0f"), "victim"
	far.FixedIPs = []neutrino.FixedIP{{SubnetID: seedSubnet, IPAddress: netip.MustParseAddr("10.1.0.9")}, {SubnetID: "six", IPAddress: netip.MustParseAddr("2001:db8::9")}}
	v.Neighbours["far"] = far
	spy := vm
	spy.ID, spy.ProjectID, spy.MAC, spy.CTZone = spyPort, project, mac("fa:16:3e:66:66:66"), 4098
	spy.FixedIPs = []neutrino.FixedIP{{SubnetID: seedSubnet, IPAddress: netip.MustParseAddr("10.1.0.66")}}
	spy.AllowedAddressPairs = pairs
	v.Ports[spyPort] = spy
	return v
}

func pair(prefix, m string) neutrino.AddressPair {
	p := neutrino.AddressPair{IPAddress: netip.MustParsePrefix(prefix)}
	if m != "" {
		p.MAC = mac(m)
	}
	return p
}

// spyFlows are the flows of the spy's port that have all the words in their match.
func spyFlows(s *host.State, words ...string) (actions []string) {
	for k, f := range s.Flows {
		match := k.Match
		if strings.Contains(match, "qvo5b5b5b5b-00") && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(match, w) }) {
			actions = append(actions, f.Actions)
		}
	}
	return actions
}

const spyChain = "neutron-openvswi-s5b5b5b5b-0"

// A pair that is another project's port, here or on another host, by address or
// by MAC, lets nothing pass; between ports of one project it does.
func TestAPairOfAnotherProjectsPortLetsNothingPass(t *testing.T) {
	for _, p := range []neutrino.AddressPair{pair("10.1.0.2/32", ""), pair("10.1.0.9/32", ""), pair("10.1.0.200/32", "fa:16:3e:03:00:e7"),
		pair("10.1.0.9/32", "fa:16:3e:0f:0f:0f"), pair("2001:db8::9/128", "")} {
		s, without := plan.Host(withSpy("spies", p), settings(computeIP)), plan.Host(withSpy("spies"), settings(computeIP))
		if got, want := s.Text(), without.Text(); got != want {
			t.Errorf("%v changes the host:\n%s", p, linesOf(got, want))
		}
		own := plan.Host(withSpy("victim", p), settings(computeIP))
		if own.Text() == plan.Host(withSpy("victim"), settings(computeIP)).Text() {
			t.Errorf("%v of a port of the same project does nothing", p)
		}
	}
}

// linesOf are the lines of one text that the other has not.
func linesOf(text, other string) string {
	var out []string
	for _, l := range strings.Split(text, "\n") {
		if !strings.Contains(other, l) {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// A wide pair, which a NAT instance has, leaves the addresses of other projects'
// ports out: ARP and advertisements for them end in the first table, packets
// from them in the first rule, and none of its own project's does.
func TestAWidePairLeavesOtherProjectsOut(t *testing.T) {
	for _, wide := range [][]neutrino.AddressPair{
		{pair("0.0.0.0/0", ""), pair("::/0", "")},
		{pair("10.1.0.0/24", ""), pair("2001:db8::/64", ""), pair("fe80::/10", "")},
	} {
		s := plan.Host(withSpy("spies", wide...), settings(computeIP))
		for _, words := range [][]string{{"arp_spa=10.1.0.2"}, {"arp_spa=10.1.0.9"}, {"nd_target=2001:db8::9"}, {"ipv6_src=2001:db8::9"}, {"nd_target=fe80::f816:3eff:fe0f:f0f"}} {
			if got := spyFlows(s, words...); len(got) != 1 || got[0] != "drop" {
				t.Errorf("%v: flows with %v: %v, want one that drops", wide, words, got)
			}
		}
		if got := spyFlows(s, "arp_spa=10.1.0.66"); slices.Contains(got, "drop") {
			t.Errorf("%v: its own address is dropped: %v", wide, got)
		}
		for family, want := range map[int]string{4: "10.1.0.2\n10.1.0.9", 6: "2001:db8::9\nfe80::f816:3eff:fe03:e7\nfe80::f816:3eff:fe0f:f0f"} {
			name := map[int]string{4: "NIPv4x5b5b5b5b-0000-4000-8000", 6: "NIPv6x5b5b5b5b-0000-4000-8000"}[family]
			if got := s.Sets[host.SetKey{Name: name}].Members; got != want {
				t.Errorf("%v: excluded of family %d: %q, want %q", wide, family, got, want)
			}
			if got := chainText(s, family, "filter", spyChain); !strings.HasPrefix(got, "-m set --match-set "+name+" src -j DROP\n") {
				t.Errorf("%v: spoof chain of family %d:\n%s", wide, family, got)
			}
		}
		own := plan.Host(withSpy("victim", wide...), settings(computeIP))
		if got := spyFlows(own, "arp_spa=10.1.0.2"); len(own.Sets[host.SetKey{Name: "NIPv4x5b5b5b5b-0000-4000-8000"}].Members)+len(got) > 0 {
			t.Errorf("%v: excludes ports of its own project: %v", wide, got)
		}
	}
}

// A port without port security, which a network's owner may have, sends by any
// address and MAC but other projects'.
func TestAnUnsecuredPortIsNotAnotherProjectsPort(t *testing.T) {
	for _, project := range []string{"spies", "victim"} {
		v := withSpy(project)
		p := v.Ports[spyPort]
		p.PortSecurityEnabled, p.SecurityGroups = false, nil
		v.Ports[spyPort] = p
		s := plan.Host(v, settings(computeIP))
		for _, words := range [][]string{{"dl_src=fa:16:3e:03:00:e7"}, {"dl_src=fa:16:3e:0f:0f:0f"}, {"arp_spa=10.1.0.2"}, {"arp_spa=10.1.0.9"}, {"nd_target=2001:db8::9"}} {
			want := map[string]int{"spies": 1}[project]
			if got := spyFlows(s, words...); len(got) != want || want > 0 && got[0] != "drop" {
				t.Errorf("a port of %s: flows with %v: %v, want %d that drop", project, words, got, want)
			}
		}
	}
}

// Whose a neighbour is was not in views of older servers, and a port that is
// bound nowhere is not in use: neither takes an address from a pair.
func TestOnlyPortsKnownToBeForeignAreLeftOut(t *testing.T) {
	for name, change := range map[string]func(*view.Neighbour){
		"of nobody":     func(n *view.Neighbour) { n.ProjectID = "" },
		"bound nowhere": func(n *view.Neighbour) { n.Host = "" },
	} {
		v := withSpy("spies", pair("10.1.0.9/32", ""))
		n := v.Neighbours["far"]
		change(&n)
		v.Neighbours["far"] = n
		if got := spyFlows(plan.Host(v, settings(computeIP)), "arp_spa=10.1.0.9"); len(got) != 1 || got[0] == "drop" {
			t.Errorf("%s: %v", name, got)
		}
	}
	v := withSpy("spies", pair("10.1.0.9/32", ""))
	n := v.Neighbours["far"]
	n.ProjectID, n.DeviceOwner = "", neutrino.OwnerGateway
	v.Neighbours["far"] = n
	if got := spyFlows(plan.Host(v, settings(computeIP)), "arp_spa=10.1.0.9"); len(got) > 0 {
		t.Errorf("a router's gateway: %v", got)
	}
}
