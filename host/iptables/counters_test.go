package iptables

import (
	"errors"
	"maps"
	"testing"

	"neutrino/host"
)

// Counters are the sums of a chain's rules, of our chains alone, and stay while
// other chains change.
func TestCountersAreReadAndStayWhileOtherChainsChange(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	w.chain(4, "filter", prefix+"count", "-p tcp -j RETURN", "-j RETURN")
	w.chain(4, "filter", prefix+"choose", "-p tcp -g "+prefix+"count", "-p icmp -g "+prefix+"count")
	w.hook("filter", "OUTPUT", prefix+"choose", 0)
	clean(t, e, w)
	settled(t, w)
	sh(t, "iptables -N operator; iptables -A operator -c 5 500 -j RETURN; ip link set lo up; ping -q -c 2 -i 0.01 127.0.0.1 >/dev/null")
	counts := func() map[string]Count {
		t.Helper()
		c, err := e.Counters(ctx(t), "", 4, "filter")
		if err != nil {
			t.Fatal(err)
		}
		delete(c, prefix+"choose")
		return c
	}
	// Two questions and two answers of 84 bytes each.
	want := map[string]Count{prefix + "count": {Packets: 4, Bytes: 336}}
	if got := counts(); !maps.Equal(got, want) {
		t.Fatalf("counted %v, want %v", got, want)
	}
	w.chain(4, "filter", prefix+"choose", "-p udp -j RETURN", "-p tcp -g "+prefix+"count")
	w.chain(4, "filter", prefix+"more", "-j RETURN")
	clean(t, e, w)
	got := counts()
	delete(got, prefix+"more")
	if !maps.Equal(got, want) {
		t.Errorf("another chain changed, and %v became %v", want, got)
	}
	var absent *host.Absent
	if _, err := e.Counters(ctx(t), "nowhere", 4, "filter"); !errors.As(err, &absent) {
		t.Errorf("no namespace: %v", err)
	}
}
