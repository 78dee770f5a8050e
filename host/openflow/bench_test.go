package openflow_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"neutrino/host"
	"neutrino/host/openflow"
	"neutrino/reconcile"
)

// crowd is n flows of the shapes that br-tun has.
func crowd(n int) flowMap {
	want := make(flowMap, n)
	for i := range n {
		mac := fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", i>>16, i>>8&255, i&255)
		k := host.FlowKey{Bridge: "br-tun", Table: 20, Priority: 2, Match: fmt.Sprintf("dl_vlan=%d,dl_dst=%s", i%4000+1, mac)}
		f := host.Flow{Actions: fmt.Sprintf("strip_vlan,set_tunnel:%d,output:gre-1", i), Why: host.Why{Feature: "tunnel", Object: fmt.Sprint("port/", i)}}
		if i%2 == 1 {
			k.Table, k.Match = 21, fmt.Sprintf("arp,dl_vlan=%d,arp_tpa=10.%d.%d.%d", i%4000+1, i>>16, i>>8&255, i&255)
			f.Actions = arpReply
		}
		want[k] = f
	}
	return want
}

func canonical(b testing.TB, h *openflow.Hand, want flowMap) flowMap {
	out, err := h.Canonicalise(want)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func apply(b testing.TB, h *openflow.Hand, d reconcile.Diff[host.FlowKey, host.Flow]) {
	if err := h.Apply(context.Background(), d); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAdd10000Flows(b *testing.B) {
	o := startOVS(b)
	o.bridge("br-tun", "patch-int", "gre-1")
	for b.Loop() {
		b.StopTimer()
		o.ofctl("del-flows", "br-tun")
		h := openflow.New(openflow.Options{RunDir: o.dir, Bridges: func() []string { return []string{"br-tun"} }})
		want := canonical(b, h, crowd(10000))
		read(b, h)
		b.StartTimer()
		apply(b, h, reconcile.Diff[host.FlowKey, host.Flow]{Put: want})
		b.StopTimer()
		h.Close()
		b.StartTimer()
	}
}

func BenchmarkReadOf10000FlowsByAFreshHand(b *testing.B) {
	o := startOVS(b)
	o.bridge("br-tun", "patch-int", "gre-1")
	mustSync(b, newHand(b, o, "br-tun"), crowd(10000))
	for b.Loop() {
		h := openflow.New(openflow.Options{RunDir: o.dir, Bridges: func() []string { return []string{"br-tun"} }})
		if n := len(read(b, h)); n != 10000 {
			b.Fatalf("read %d flows", n)
		}
		h.Close()
	}
}

func BenchmarkTenChangesAmong10000Flows(b *testing.B) {
	o := startOVS(b)
	o.bridge("br-tun", "patch-int", "gre-1")
	h := newHand(b, o, "br-tun")
	want := canonical(b, h, crowd(10000))
	mustSync(b, h, want)
	ten := [2]flowMap{{}, {}}
	for k, f := range want {
		if len(ten[0]) == 10 {
			break
		}
		ten[0][k] = f
		f.Actions = "drop"
		ten[1][k] = f
	}
	i := 0
	for b.Loop() {
		i++
		apply(b, h, reconcile.Diff[host.FlowKey, host.Flow]{Put: ten[i%2]})
		read(b, h)
	}
}

func BenchmarkSyncOf10000UnchangedFlows(b *testing.B) {
	o := startOVS(b)
	o.bridge("br-tun", "patch-int", "gre-1")
	h := newHand(b, o, "br-tun")
	want := crowd(10000)
	mustSync(b, h, want)
	for b.Loop() {
		if r := mustSync(b, h, want); r.Puts+r.Drops > 0 {
			b.Fatal("an unchanged plan is written")
		}
	}
}

func BenchmarkCanonicalise20000KnownFlows(b *testing.B) {
	h := openflow.New(openflow.Options{})
	want := crowd(20000)
	canonical(b, h, want)
	for b.Loop() {
		canonical(b, h, want)
	}
}

func BenchmarkCanonicalise20000NewFlows(b *testing.B) {
	want := crowd(20000)
	for b.Loop() {
		canonical(b, openflow.New(openflow.Options{}), want)
	}
}

func TestAFreshHandOnTenThousandUnchangedFlowsWritesNothing(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-tun", "patch-int", "gre-1")
	first := newHand(t, o, "br-tun")
	want := crowd(10000)
	mustSync(t, first, want)
	first.Close()
	begun := time.Now()
	if r := mustSync(t, newHand(t, o, "br-tun"), want); r.Puts+r.Drops > 0 {
		t.Errorf("%d puts, %d drops", r.Puts, r.Drops)
	}
	t.Logf("read and compared in %v", time.Since(begun).Round(time.Millisecond))
}
