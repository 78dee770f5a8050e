package metadata

import (
	"context"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"neutrino/host"
	"neutrino/host/realtest"
	"neutrino/reconcile"
)

// watched is a hand that asks itself often until the test ends.
func watched(t *testing.T, o Options) *Hand {
	t.Helper()
	h := newHand(t, o)
	h.pace = probePace{every: 20 * time.Millisecond, wait: 100 * time.Millisecond, tries: 2, restart: 10 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h
}

// A service that hangs is named with its object and opened anew, once; instances
// are limited meanwhile, and the question of ours is not.
func TestASocketThatDoesNotAnswerIsSaidAndOpenedAnew(t *testing.T) {
	dir := netNS(t, "qrouter-red", "qrouter-blue", "qdhcp-lone")
	var stuck atomic.Bool
	release := make(chan struct{})
	var asked atomic.Int64
	find := directory(cloud()).Find
	h := watched(t, Options{NetNSDir: dir, resolve: honest(cloud()), Limits: Limits{ConnectionsPerSource: 1, Base: Rate{1, time.Hour}},
		Lookup: func(a Asker) (Instance, error) {
			asked.Add(1)
			if stuck.Load() && a.Scope == "router/router-red" {
				<-release
			}
			return find(a)
		}})
	want := map[host.ListenerKey]host.Listener{
		{NetNS: "qrouter-red", Address: "0.0.0.0:9697"}:      {Scope: "router/router-red"},
		{NetNS: "qrouter-blue", Address: "0.0.0.0:9697"}:     {Scope: "router/router-blue"},
		{NetNS: "qdhcp-lone", Address: "169.254.169.254:80"}: {Scope: "network/lone"},
	}
	realtest.Run(t, "ip", "-n", "qdhcp-lone", "address", "add", "169.254.169.254/32", "dev", "lo")
	apply(t, h, want)
	realtest.Eventually(t, "all are asked more often than an instance may", func() bool { return asked.Load() > 30 })
	if f := h.Findings(); len(f) > 0 {
		t.Fatalf("all answer, and it says %v", f)
	}
	key := host.ListenerKey{NetNS: "qrouter-red", Address: "0.0.0.0:9697"}
	socket := func() *listener {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.open[key]
	}
	before := socket()
	stuck.Store(true)
	realtest.Eventually(t, "it is said", func() bool {
		f := h.Findings()
		return len(f) == 1 && f[0].Object == "router/router-red" && strings.Contains(f[0].Reason, "does not answer on 0.0.0.0:9697") &&
			strings.Contains(f[0].Reason, "qrouter-red")
	})
	select {
	case <-h.Events():
	default:
		t.Error("a new finding is no event")
	}
	second := socket()
	if second == before {
		t.Error("the socket is the old one")
	}
	since := asked.Load()
	realtest.Eventually(t, "some rounds pass", func() bool { return asked.Load() > since+10 })
	if socket() != second {
		t.Error("it is opened anew in every round, which ends connections")
	}
	stuck.Store(false)
	close(release)
	realtest.Eventually(t, "it is over", func() bool { return len(h.Findings()) == 0 })
	if got := ask(t, "qrouter-red", router, idPath); got != "red-web" {
		t.Errorf("then an instance reads %q", got)
	}
}

// A router lets requests to the service in by their mark only, and somebody's
// rule that drops them is noticed.
func TestTheRulesOfARouterLetTheQuestionIn(t *testing.T) {
	dir := netNS(t, "qrouter-red")
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("NOT TESTED: iptables is not installed")
	}
	for _, rule := range []string{"-A INPUT -m mark --mark 0x1/0xffff -j ACCEPT", "-A INPUT -p tcp -m tcp --dport 9697 -j DROP"} {
		realtest.Run(t, "ip", append([]string{"netns", "exec", "qrouter-red", "iptables"}, strings.Fields(rule)...)...)
	}
	var asked atomic.Int64
	h := watched(t, Options{NetNSDir: dir, Lookup: func(Asker) (Instance, error) { asked.Add(1); return Instance{}, errNobody }})
	apply(t, h, map[host.ListenerKey]host.Listener{{NetNS: "qrouter-red", Address: "0.0.0.0:9697"}: {Scope: "router/router-red"}})
	realtest.Eventually(t, "it is asked", func() bool { return asked.Load() > 3 })
	if f := h.Findings(); len(f) > 0 {
		t.Errorf("found: %v", f)
	}
	realtest.Run(t, "ip", "netns", "exec", "qrouter-red", "iptables", "-I", "INPUT", "-i", "lo", "-j", "DROP")
	realtest.Eventually(t, "it is said", func() bool { f := h.Findings(); return len(f) == 1 && f[0].Object == "router/router-red" })
	realtest.Run(t, "ip", "netns", "exec", "qrouter-red", "iptables", "-D", "INPUT", "-i", "lo", "-j", "DROP")
	realtest.Eventually(t, "it is over", func() bool { return len(h.Findings()) == 0 })
}

// What is wanted no more is no finding.
func TestASilentSocketThatGoesIsForgotten(t *testing.T) {
	dir := netNS(t, "qrouter-red")
	release := make(chan struct{})
	h := watched(t, Options{NetNSDir: dir, Lookup: func(Asker) (Instance, error) { <-release; return Instance{}, errNobody }})
	t.Cleanup(func() { close(release) })
	want := map[host.ListenerKey]host.Listener{{NetNS: "qrouter-red", Address: "0.0.0.0:9697"}: {Scope: "router/router-red"}}
	apply(t, h, want)
	realtest.Eventually(t, "it is said", func() bool { return len(h.Findings()) == 1 })
	drop(t, h, want)
	if f := h.Findings(); len(f) > 0 {
		t.Errorf("found: %v", f)
	}
}

func TestALinkLocalSocketIsAskedToo(t *testing.T) {
	dir := netNS(t, "qdhcp-red")
	realtest.Run(t, "ip", "-n", "qdhcp-red", "link", "add", "ns-red", "type", "veth", "peer", "name", "other")
	realtest.Run(t, "ip", "-n", "qdhcp-red", "link", "set", "other", "up")
	realtest.Run(t, "ip", "-n", "qdhcp-red", "link", "set", "ns-red", "up")
	realtest.Run(t, "ip", "-n", "qdhcp-red", "address", "add", "fe80::a9fe:a9fe/128", "dev", "ns-red", "nodad")
	var asked atomic.Int64
	h := watched(t, Options{NetNSDir: dir, Lookup: func(Asker) (Instance, error) { asked.Add(1); return Instance{}, errNobody }})
	apply(t, h, map[host.ListenerKey]host.Listener{{NetNS: "qdhcp-red", Address: "[fe80::a9fe:a9fe]:80"}: {Scope: "network/red"}})
	realtest.Eventually(t, "it is asked", func() bool { return asked.Load() > 3 })
	if f := h.Findings(); len(f) > 0 {
		t.Errorf("found: %v", f)
	}
}

func drop(t *testing.T, h *Hand, have map[host.ListenerKey]host.Listener) {
	t.Helper()
	if err := h.Apply(t.Context(), reconcile.Diff[host.ListenerKey, host.Listener]{Drop: have}); err != nil {
		t.Fatal(err)
	}
}
