package iptables

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"neutrino/host"
)

// obey does to a list of rules what the commands of an edit do to a chain.
func obey(t *rapid.T, rules, commands []string) []string {
	rules = slices.Clone(rules)
	for _, c := range commands {
		f := strings.SplitN(c, " ", 3)
		switch f[0] {
		case "-D":
			i := slices.Index(rules, f[2])
			if i < 0 {
				t.Fatalf("%q deletes what is not there", c)
			}
			rules = slices.Delete(rules, i, i+1)
		case "-A":
			rules = append(rules, f[2])
		case "-I":
			at, rule, _ := strings.Cut(f[2], " ")
			n, _ := strconv.Atoi(at)
			if n < 1 || n > len(rules) {
				t.Fatalf("%q inserts at no rule of %d", c, len(rules))
			}
			rules = slices.Insert(rules, n-1, rule)
		}
	}
	return rules
}

func TestAnEditEndsInWhatIsWanted(t *testing.T) {
	e := &Engine{names: protocolNames()}
	rule := rapid.Custom(func(t *rapid.T) string {
		return "-s 10.0.0." + strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "n")) + "/32 -j RETURN"
	})
	rapid.Check(t, func(t *rapid.T) {
		old, next := rapid.SliceOf(rule).Draw(t, "old"), rapid.SliceOf(rule).Draw(t, "next")
		commands := e.edit("c", strings.Join(old, "\n"), strings.Join(next, "\n"))
		if commands == nil {
			return // written as a whole
		}
		if got := obey(t, old, commands); !slices.Equal(got, next) {
			t.Fatalf("%v makes %v", commands, got)
		}
		if len(commands) > len(next)/2 {
			t.Fatalf("%d commands for %d rules", len(commands), len(next))
		}
	})
	if got := e.edit("c", "-j A\n-j B\n-j A\n-j C\n-j D\n-j E", "-j A\n-j B\n-j C\n-j D\n-j E"); got != nil {
		t.Errorf("one of two equal rules is deleted by its text: %v", got)
	}
}

// natOf is the NAT of a router with some floating IPs.
func natOf(w wanted, ns string, addresses []int) {
	const p = "neutron-l3-agent-"
	var in, out []string
	for _, n := range addresses {
		floating, fixed := fmt.Sprintf("172.24.%d.%d", 4+n/250, n%250+1), fmt.Sprintf("10.1.%d.%d", n/250, n%250+1)
		in = append(in, "-d "+floating+"/32 -j DNAT --to-destination "+fixed)
		out = append(out, "-s "+fixed+"/32 -j SNAT --to-source "+floating+" --random-fully")
	}
	why := host.Why{Feature: "nat", Object: "router/x"}
	put := func(chain string, rules ...string) {
		w.chains[host.ChainKey{NetNS: ns, Family: 4, Table: "nat", Chain: p + chain}] = host.Chain{Rules: strings.Join(rules, "\n"), Why: why}
	}
	redirect := "-d 169.254.169.254/32 -i qr-+ -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 9697"
	put("PREROUTING", append([]string{redirect}, in...)...)
	put("OUTPUT", in...)
	put("float-snat", out...)
	put("snat", "-j "+p+"float-snat", "-o qg-d48b49e0-aa -j SNAT --to-source 172.24.4.227 --random-fully")
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// routers are named namespaces of this test's own.
func routers(t testing.TB, names ...string) {
	t.Helper()
	sh(t, "mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; for n in "+strings.Join(names, " ")+"; do ip netns add $n; done")
	t.Cleanup(func() {
		sh(t, "for n in "+strings.Join(names, " ")+"; do ip netns del $n; done; umount -l /run/netns")
	})
}

var countable = regexp.MustCompile(`(?m)^\[0:0\] -A`)

// traffic sets every rule's counters in a namespace to its number.
func traffic(t *testing.T, ns string) {
	t.Helper()
	n := 0
	text := countable.ReplaceAllStringFunc(sh(t, "ip netns exec "+ns+" iptables-save -c -t nat"), func(string) string {
		n++
		return fmt.Sprintf("[%d:%d] -A", n, n*100)
	})
	sh(t, "ip netns exec "+ns+" iptables-restore -c <<'EOF'\n"+text+"EOF")
}

func counters(t *testing.T, ns string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(sh(t, "ip netns exec "+ns+" iptables-save -c -t nat")) {
		if c, rule, ok := strings.Cut(line, " -A "); ok {
			out[strings.TrimSpace(rule)] = c
		}
	}
	return out
}

func TestOneFloatingIPOfManyTouchesItsOwnRules(t *testing.T) {
	e := kernel(t, "qrouter-a")
	routers(t, "qrouter-a")
	at := func(addresses []int) wanted {
		w := newWanted()
		natOf(w, "qrouter-a", addresses)
		return w
	}
	clean(t, e, at(upTo(200)))
	traffic(t, "qrouter-a")
	e.Invalidate()
	for name, addresses := range map[string][]int{
		"one comes at the end": upTo(201), "one comes at the beginning": append([]int{300}, upTo(200)...),
		"one comes in between": slices.Insert(upTo(200), 77, 301), "one goes": slices.Delete(upTo(200), 50, 51),
		"one goes and one comes": append(slices.Delete(upTo(200), 50, 51), 302),
		"some of each":           slices.Insert(slices.Delete(upTo(200), 10, 13), 100, 303, 304, 305),
	} {
		before := counters(t, "qrouter-a")
		began := time.Now()
		clean(t, e, at(addresses))
		took := time.Since(began)
		after := counters(t, "qrouter-a")
		fresh := 0
		for rule, c := range after {
			switch {
			case before[rule] == "":
				fresh++
			case before[rule] != c:
				t.Errorf("%s: %s had %s and has %s", name, rule, before[rule], c)
			}
		}
		if fresh > 12 {
			t.Errorf("%s: %d rules are new", name, fresh)
		}
		t.Logf("%s: %d new rules in %v", name, fresh, took.Round(time.Millisecond))
		w := at(addresses)
		if r := clean(t, engine(t, "qrouter-a"), w); r.Puts+r.Drops != 0 {
			t.Fatalf("%s: a fresh engine has something to do: %+v", name, r)
		}
		clean(t, e, at(upTo(200)))
	}
}

func TestABadRuleInAnEditedChainHarmsNoOther(t *testing.T) {
	e := kernel(t, "qrouter-a")
	routers(t, "qrouter-a")
	w := newWanted()
	natOf(w, "qrouter-a", upTo(20))
	clean(t, e, w)
	traffic(t, "qrouter-a")
	e.Invalidate()
	clean(t, e, w)
	natOf(w, "qrouter-a", upTo(21))
	bad := host.ChainKey{NetNS: "qrouter-a", Family: 4, Table: "nat", Chain: "neutron-l3-agent-OUTPUT"}
	good := w.chains[bad]
	w.chains[bad] = host.Chain{Rules: good.Rules + "\n-j neutron-l3-agent-nowhere", Why: host.Why{Feature: "nat", Object: "router/bad"}}
	before := counters(t, "qrouter-a")
	r := converge(t, e, w)
	if len(r.Problems) != 1 || r.Problems[0].Object != "router/bad" {
		t.Fatalf("problems: %v", r.Problems)
	}
	after := counters(t, "qrouter-a")
	for rule, c := range before {
		if after[rule] != c {
			t.Errorf("%s had %s and has %s", rule, c, after[rule])
		}
	}
	if len(after) != len(before)+2 {
		t.Errorf("%d rules became %d: the other chains did not get theirs", len(before), len(after))
	}
	w.chains[bad] = good
	clean(t, e, w)
	// Somebody changed the chain under us: the edit does not fit, the chain is written as a whole.
	sh(t, "ip netns exec qrouter-a iptables -t nat -F neutron-l3-agent-OUTPUT")
	e.dirtyMu.Lock() // as if nobody had told
	clear(e.dirty)
	e.dirtyMu.Unlock()
	natOf(w, "qrouter-a", slices.Delete(upTo(21), 3, 4))
	clean(t, e, w)
	if r := clean(t, engine(t, "qrouter-a"), w); r.Puts+r.Drops != 0 {
		t.Fatalf("a fresh engine has something to do: %+v", r)
	}
}

func TestManyRoutersAreWrittenAtTheSameTime(t *testing.T) {
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprintf("qrouter-%d", i))
	}
	e := kernel(t, names...)
	routers(t, names...)
	w := newWanted()
	for _, ns := range names {
		natOf(w, ns, upTo(20))
		w.hooks[host.HookKey{NetNS: ns, Family: 4, Table: "nat", Chain: "PREROUTING", Rule: "-j neutron-l3-agent-PREROUTING"}] = host.Hook{}
	}
	began := time.Now()
	clean(t, e, w)
	t.Logf("%d namespaces in %v", len(names), time.Since(began).Round(time.Millisecond))
	if r := clean(t, engine(t, names...), w); r.Puts+r.Drops != 0 {
		t.Fatalf("a fresh engine has something to do: %+v", r)
	}
	clean(t, e, newWanted())
	if out := sh(t, "for n in /run/netns/*; do ip netns exec ${n##*/} iptables-save; done"); strings.Contains(out, "neutron") {
		t.Fatalf("left:\n%s", out)
	}
}

// BenchmarkOneFloatingIPMore is one floating IP more on a router that has 200.
func BenchmarkOneFloatingIPMore(b *testing.B) {
	e := kernel(b, "qrouter-a")
	routers(b, "qrouter-a")
	with, without := newWanted(), newWanted()
	natOf(with, "qrouter-a", upTo(201))
	natOf(without, "qrouter-a", upTo(200))
	clean(b, e, without)
	p := place{"qrouter-a", 4}
	w := chainWork{p: p, im: e.images[p], keys: byPlace(with.chains)[p], items: with.chains, edits: map[int][]string{}}
	all := []int{0, 1, 2, 3}
	whole := len((&Chains{e}).render(w, all).text())
	for i, k := range w.keys {
		w.edits[i] = e.edit(k.Chain, e.normal(w.im.table("nat").chains[k.Chain]), with.chains[k].Rules)
	}
	edited := len((&Chains{e}).render(w, all[:3]).text())
	for b.Loop() {
		clean(b, e, with)
		b.StopTimer()
		clean(b, e, without)
		b.StartTimer()
	}
	b.ReportMetric(float64(whole), "bytes-as-a-whole")
	b.ReportMetric(float64(edited), "bytes")
}
