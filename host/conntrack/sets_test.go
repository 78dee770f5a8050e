package conntrack

import (
	"net/netip"
	"testing"

	"neutrino/host"
)

func TestALineMayNameTheMembersOfAnIPSet(t *testing.T) {
	h := New()
	h.Expect(&host.State{Sets: map[host.SetKey]host.Set{
		{Name: "NIPv4g"}: {Family: "inet", Members: "10.1.0.4\n10.9.0.0/24"},
		{Name: "empty"}:  {Family: "inet"},
	}})
	sets := memberSets{members: h.sets, parsed: map[string]*memberSet{}}
	from := func(src string) tuple {
		return tuple{src: netip.MustParseAddr(src), dst: netip.MustParseAddr("10.1.0.2"), protocol: 6, dport: 22}
	}
	p, err := parsePolicy(host.Zone{Allow: "ingress 4 6 22-22 @NIPv4g", Addresses: "10.1.0.2"}, sets)
	if err != nil {
		t.Fatal(err)
	}
	for src, want := range map[string]bool{"10.1.0.4": true, "10.9.0.77": true, "10.1.0.5": false} {
		if got := p.admits(from(src)); got != want {
			t.Errorf("from %s: admitted %v, want %v", src, got, want)
		}
	}
	if p, err = parsePolicy(host.Zone{Allow: "ingress 4 any any @empty", Addresses: "10.1.0.2"}, sets); err != nil || p.admits(from("10.1.0.4")) {
		t.Errorf("an empty set admits somebody, or %v", err)
	}
	if _, err := parsePolicy(host.Zone{Allow: "ingress 4 any any @nobody"}, sets); err == nil {
		t.Error("a set of no plan was taken")
	}
	if Same(host.Zone{Sets: "a=1"}, host.Zone{Sets: "a=2"}) {
		t.Error("other members are no other zone")
	}
}
