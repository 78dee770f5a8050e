package iptables

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"neutrino/host"
)

func members(t *testing.T, name string) []string {
	t.Helper()
	var out []string
	for l := range strings.Lines(sh(t, "ipset save "+name)) {
		if f := strings.Fields(l); f[0] == "add" {
			out = append(out, f[2])
		}
	}
	slices.Sort(out)
	return out
}

func TestSetsGrowShrinkAndSwap(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("10.%d.%d.0/24", i/250, i%250))
	}
	for _, step := range [][]string{
		{}, {"10.0.0.1"}, {"10.0.0.1", "10.0.0.2"}, {"10.0.0.2"}, many, many[:2998], {"0.0.0.0/0"},
		{"10.0.0.5/24", "10.0.0.1/32", "10.0.0.1"}, many, {},
	} {
		w.set(group4, "inet", step...)
		clean(t, e, w)
		want := strings.Fields(NormaliseMembers(strings.Join(step, "\n")))
		if got := members(t, group4); !slices.Equal(got, want) {
			t.Fatalf("set holds %d members %.100q, want %d %.100q", len(got), got, len(want), want)
		}
		settled(t, w)
	}
	w.set(group6, "inet6", "::/0", "2001:db8::1/64", "::ffff:1.2.3.4", "fe80::1/128", "::1.2.3.4", "1:0:2:3:4:5:6:7")
	clean(t, e, w)
	settled(t, w)
}

func TestASetInUseIsDroppedWithItsRule(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	w.set(group4, "inet", "10.0.0.1")
	w.set("NIPv4other", "inet", "10.0.0.1")
	w.chain(4, "filter", prefix+"i", "-m set --match-set "+group4+" src -j RETURN")
	w.hook("filter", "FORWARD", prefix+"i", 0)
	clean(t, e, w)
	w.chain(4, "filter", prefix+"i", "-m set --match-set NIPv4other src -j RETURN")
	delete(w.sets, host.SetKey{Name: group4})
	clean(t, e, w)
	settled(t, w)
	clean(t, e, newWanted())
}

func TestABadMemberHarmsItsOwnSetOnly(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	w.set(group4, "inet", "10.0.0.1")
	w.set("NIPv4bad", "inet", "example.com")
	w.set("NIPv4wrong", "inet", "2001:db8::1")
	w.set("NIPv4"+strings.Repeat("x", 27), "inet", "10.0.0.1")
	r := converge(t, e, w)
	if len(r.Problems) != 3 {
		t.Fatalf("problems: %v", r.Problems)
	}
	if got := members(t, group4); !slices.Equal(got, []string{"10.0.0.1"}) {
		t.Fatalf("%v", got)
	}
}

func TestASwapSetLeftByACrashIsCleanedUp(t *testing.T) {
	e := kernel(t)
	sh(t, "ipset create "+group4+"-n hash:net; ipset add "+group4+"-n 9.9.9.0/24; ipset create operators hash:ip")
	w := newWanted()
	w.set(group4, "inet", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6")
	clean(t, e, w)
	w.set(group4, "inet", "11.0.0.1", "10.0.1.2", "10.1.0.3", "10.2.0.4", "10.3.0.5", "10.4.0.6")
	clean(t, e, w)
	settled(t, w)
	if out := sh(t, "ipset list -n"); strings.Contains(out, "-n\n") || !strings.Contains(out, "operators") {
		t.Fatalf("sets: %s", out)
	}
	sh(t, "ipset destroy operators")
}
