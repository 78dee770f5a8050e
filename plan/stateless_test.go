package plan_test

import (
	"strings"
	"testing"

	"neutrino/host"
	"neutrino/plan"
)

func chainText(s *host.State, family int, table, name string) string {
	return s.Chains[host.ChainKey{Family: family, Table: table, Chain: name}].Rules
}

// The packets of a port in a stateless group are not tracked and no rule of its
// chains asks for their connection: an answer passes by a rule of its own.
func TestAStatelessPortIsNotTracked(t *testing.T) {
	v := seed("compute1")
	g := v.Groups[seedGroup]
	g.Stateful = false
	v.Groups[seedGroup] = g
	s := plan.Host(v, settings(computeIP))
	in, out := "neutron-openvswi-i7c7ae61e-0", "neutron-openvswi-o7c7ae61e-0"
	for _, family := range []int{4, 6} {
		raw := chainText(s, family, "raw", "neutron-openvswi-PREROUTING")
		if strings.Count(raw, "-j CT --notrack") != 3 || strings.Contains(raw, "--zone") {
			t.Errorf("raw of family %d:\n%s", family, raw)
		}
		for _, chain := range []string{in, out} {
			rules := chainText(s, family, "filter", chain)
			if strings.Contains(rules, "--state") || !strings.HasSuffix(rules, "-j neutron-openvswi-sg-fallback") {
				t.Errorf("%s of family %d:\n%s", chain, family, rules)
			}
		}
	}
	want := strings.Join([]string{
		"-d 10.1.0.2/32 -p udp -m udp --sport 67 --dport 68 -j RETURN",
		"-d 255.255.255.255/32 -p udp -m udp --sport 67 --dport 68 -j RETURN",
		"-m set --match-set NIPv4aaaaaaaa-bbbb-cccc-dddd- src -j RETURN",
		"-p icmp -j RETURN",
		"-p tcp -m tcp --dport 22 -j RETURN",
		"-s 192.0.2.0/24 -p tcp -m tcp -m multiport --dports 8000:8100 -j RETURN",
		"-j neutron-openvswi-sg-fallback",
	}, "\n")
	if got := chainText(s, 4, "filter", in); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if z := s.Zones[4097]; z.Allow != "" || z.Sets != "" {
		t.Errorf("connections may live on in the port's zone: %+v", z)
	}
}
