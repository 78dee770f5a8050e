package iptables

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"neutrino/host"
)

const (
	group4 = "NIPv4aaaaaaaa-bbbb-cccc-dddd-"
	group6 = "NIPv6aaaaaaaa-bbbb-cccc-dddd-"
)

// port is the whole firewall of one port, as the reference prints it.
func port(w wanted) {
	tap, qvb := "tap7c7ae61e-05", "qvb7c7ae61e-05"
	for _, family := range []int{4, 6} {
		w.chain(family, "raw", prefix+"PREROUTING",
			`-m physdev --physdev-in `+qvb+` -m comment --comment "zone of port 7c7ae61e-05d8-4ab8" -j CT --zone 4097`,
			`-i `+qvb+` -m comment --comment "zone of port 7c7ae61e-05d8-4ab8" -j CT --zone 4097`,
			`-m physdev --physdev-in `+tap+` -m comment --comment zone -j CT --notrack`)
		w.chain(family, "nat", prefix+"PREROUTING",
			"-m physdev --physdev-out "+tap+" -j ACCEPT", "-m physdev --physdev-in "+tap+" -j ACCEPT")
		w.chain(family, "filter", top, "-j "+prefix+"local")
		w.chain(family, "filter", prefix+"local")
		w.chain(family, "filter", prefix+"FORWARD",
			"-m physdev --physdev-out "+tap+" --physdev-is-bridged -j "+prefix+"sg-chain",
			"-m physdev --physdev-in "+tap+" --physdev-is-bridged -j "+prefix+"sg-chain")
		w.chain(family, "filter", prefix+"INPUT", "-m physdev --physdev-in "+tap+" --physdev-is-bridged -j "+prefix+"o7c7ae61e-0")
		w.chain(family, "filter", prefix+"sg-chain",
			"-m physdev --physdev-out "+tap+" --physdev-is-bridged -j "+prefix+"i7c7ae61e-0",
			"-m physdev --physdev-in "+tap+" --physdev-is-bridged -j "+prefix+"o7c7ae61e-0", "-j ACCEPT")
		w.chain(family, "filter", prefix+"sg-fallback", `-m comment --comment "Default drop rule for unmatched traffic." -j DROP`)
	}
	w.set(group4, "inet", "10.0.0.0/24", "10.1.0.3")
	w.set(group6, "inet6", "2001:db8:1::/64", "2001:db8::3")
	portFour(w)
	portSix(w)
	w.hook("filter", "FORWARD", top, 0)
	w.hook("filter", "FORWARD", prefix+"FORWARD", 1)
	w.hook("filter", "OUTPUT", top, 0)
	w.hook("filter", "INPUT", prefix+"INPUT", 0)
	w.hook("raw", "PREROUTING", prefix+"PREROUTING", 0)
	w.hook("nat", "PREROUTING", prefix+"PREROUTING", 0)
}

func portFour(w wanted) {
	w.chain(4, "filter", prefix+"i7c7ae61e-0", strings.Split(`-m state --state RELATED,ESTABLISHED -j RETURN
-d 10.1.0.2/32 -p udp -m udp --sport 67 --dport 68 -j RETURN
-d 255.255.255.255/32 -p udp -m udp --sport 67 --dport 68 -j RETURN
-p icmp -j RETURN
-p tcp -m tcp --dport 22 -j RETURN
-s 192.0.2.0/24 -p tcp -m tcp -m multiport --dports 8000:8100 -j RETURN
-m set --match-set `+group4+` src -j RETURN
-p tcp -m set --match-set `+group4+` src -m tcp --dport 443 -j RETURN
-m state --state INVALID -j DROP
-j `+prefix+`sg-fallback`, "\n")...)
	w.chain(4, "filter", prefix+"o7c7ae61e-0", strings.Split(`-s 0.0.0.0/32 -d 255.255.255.255/32 -p udp -m udp --sport 68 --dport 67 -j RETURN
-j `+prefix+`s7c7ae61e-0
-p udp -m udp --sport 68 --dport 67 -j RETURN
-p udp -m udp --sport 67 --dport 68 -j DROP
-m state --state RELATED,ESTABLISHED -j RETURN
-m set --match-set `+group4+` dst -j RETURN
-j RETURN
-m state --state INVALID -j DROP
-j `+prefix+`sg-fallback`, "\n")...)
	w.chain(4, "filter", prefix+"s7c7ae61e-0",
		"-s 10.9.0.0/24 -m mac --mac-source FA:16:3E:03:00:E7 -j RETURN",
		`-s 10.1.0.2/32 -m mac --mac-source FA:16:3E:03:00:E7 -m comment --comment "Allow traffic from defined IP/MAC pairs." -j RETURN`,
		"-m mac --mac-source FA:16:3E:03:00:E7 -j RETURN", "-j DROP")
}

func portSix(w wanted) {
	w.chain(6, "filter", prefix+"i7c7ae61e-0", strings.Split(`-p ipv6-icmp -m icmp6 --icmpv6-type 130 -j RETURN
-p ipv6-icmp -m icmp6 --icmpv6-type 135 -j RETURN
-p ipv6-icmp -m icmp6 --icmpv6-type 136 -j RETURN
-m state --state RELATED,ESTABLISHED -j RETURN
-p ipv6-icmp -m icmp6 --icmpv6-type 134 -j RETURN
-d 2001:db8::2/128 -p udp -m udp --sport 547 --dport 546 -j RETURN
-d fe80::/64 -p udp -m udp --sport 547 --dport 546 -j RETURN
-m set --match-set `+group6+` src -j RETURN
-m state --state INVALID -j DROP
-j `+prefix+`sg-fallback`, "\n")...)
	w.chain(6, "filter", prefix+"o7c7ae61e-0", strings.Split(`-s ::/128 -d ff02::/16 -p ipv6-icmp -m icmp6 --icmpv6-type 131 -j RETURN
-j `+prefix+`s7c7ae61e-0
-p ipv6-icmp -m icmp6 --icmpv6-type 134 -j DROP
-p ipv6-icmp -j RETURN
-p udp -m udp --sport 546 --dport 547 -j RETURN
-p udp -m udp --sport 547 --dport 546 -j DROP
-j `+prefix+`sg-fallback`, "\n")...)
	w.chain(6, "filter", prefix+"s7c7ae61e-0",
		"-s 2001:db8::2/128 -m mac --mac-source FA:16:3E:03:00:E7 -j RETURN", "-j DROP")
}

func TestAPortsFirewallIsWrittenOnceAndNeverAgain(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	port(w)
	if r := clean(t, e, w); r.Puts == 0 {
		t.Fatal("nothing was put")
	}
	if r := clean(t, e, w); r.Puts+r.Drops != 0 {
		t.Fatalf("the same engine changed something the second time: %+v", r)
	}
	settled(t, w)
	if r := clean(t, e, newWanted()); r.Drops != len(w.chains)+len(w.hooks)+len(w.sets) {
		t.Fatalf("dropped %d", r.Drops)
	}
	if left := sh(t, "iptables-save; ip6tables-save; ipset save"); strings.Contains(left, "neutron") || strings.Contains(left, "NIP") {
		t.Fatalf("left behind:\n%s", left)
	}
}

// every rule that an API value can lead to must compile, or one rule of one
// tenant stops the host (CVE-2014-0187, CVE-2019-9735).
func everyForm(family int) []string {
	icmp, flag, other := "icmp", "--icmp-type", "icmp"
	if family == 6 {
		icmp, flag, other = "ipv6-icmp", "--icmpv6-type", "icmp6"
	}
	rules := []string{"-j RETURN"}
	for n := 1; n < 256; n++ {
		rules = append(rules, fmt.Sprintf("-p %s -j RETURN", protocolForm(fmt.Sprint(n), byName)))
	}
	for n := range 256 {
		if n == 255 {
			continue // iptables has no type 255: it says "any" with it
		}
		rules = append(rules, fmt.Sprintf("-p %s -m %s %s %d -j RETURN", icmp, other, flag, n),
			fmt.Sprintf("-p %s -m %s %s %d/%d -j RETURN", icmp, other, flag, n, 255-n))
	}
	for _, p := range []string{"tcp", "udp", "sctp", "dccp"} {
		for _, ports := range []string{"1", "0", "65535", "1:65535", "0:1023", "8000:8100"} {
			rules = append(rules, fmt.Sprintf("-p %s -m %s --dport %s -j RETURN", p, p, ports))
		}
		rules = append(rules, fmt.Sprintf("-p %s -m %s --dport 0:65535 -j RETURN", p, p),
			fmt.Sprintf("-p %s -m %s -m multiport --dports 80:90 -j RETURN", p, p),
			fmt.Sprintf("-p %s -m multiport --dports 80,443,1000:2000 -j RETURN", p))
	}
	return append(rules, "-p udplite -m multiport --dports 80 -j RETURN", "-p udplite -m multiport --dports 80:90 -j RETURN",
		`-m comment --comment "it's \"quoted\" \\ and \$x -j DROP" -j RETURN`, `-m comment --comment -j -j RETURN`,
		`-m comment --comment "ünï ; | &" -j RETURN`, "-p 1 -j RETURN", "-p 58 -j RETURN", "-p vrrp -j RETURN")
}

func TestEveryFormOfARuleIsReadBackAsWritten(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	for _, family := range []int{4, 6} {
		for i, rule := range everyForm(family) {
			if family == 4 && strings.Contains(rule, "--comment -j ") {
				rule = `-m comment --comment "-j" -j RETURN`
			}
			w.chain(family, "filter", fmt.Sprintf("%s%d", prefix, i), rule)
		}
	}
	w.chain(4, "filter", prefix+"v4", "-s 192.0.2.0/24 -j RETURN", "-s 10.1.0.2 -j RETURN", "-s 10.1.2.3/24 -j RETURN",
		"-s 128.0.0.0/1 -j RETURN", "-s 0.0.0.0/0 -j RETURN", "! -s 10.0.0.0/8 ! -i lo -j RETURN",
		"-m mac --mac-source fa:16:3e:03:00:e7 -s 10.1.0.2 -j RETURN", "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN")
	w.chain(6, "filter", prefix+"v6", "-s 2001:db8::/32 -j RETURN", "-s 2001:DB8::1 -j RETURN", "-s ::ffff:10.0.0.1/128 -j RETURN",
		"-s ::/0 -j RETURN", "-s 8000::/1 -j RETURN", "-s ::/128 -j RETURN", "-s 2001:db8::1/64 -j RETURN", "-s 1:0:2::/48 -j RETURN")
	later(w)
	clean(t, e, w)
	settled(t, w)
}

// later are the forms of the later features: router and DHCP namespaces.
func later(w wanted) {
	p := "neutron-l3-agent-"
	w.chain(4, "mangle", p+"mark", "-i qg-d48b49e0-aa -j MARK --set-xmark 0x2/0xffff")
	w.chain(4, "mangle", p+"PREROUTING", "-j "+p+"mark",
		"-m connmark ! --mark 0x0/0xffff0000 -j CONNMARK --restore-mark --nfmask 0xffff0000 --ctmask 0xffff0000",
		"-d 169.254.169.254/32 -i qr-+ -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x1/0xffff",
		"-o qg-d48b49e0-aa -m connmark --mark 0x0/0xffff0000 -j CONNMARK --save-mark --nfmask 0xffff0000 --ctmask 0xffff0000",
		"-i qr-c2d7dd02-56 -j MARK --set-xmark 0x4000000/0xffff0000")
	w.chain(4, "mangle", "neutron-dhcp-age-POSTROUTIN", "-p udp -m udp --dport 68 -j CHECKSUM --checksum-fill")
	w.chain(4, "nat", p+"PREROUTING", "-d 169.254.169.254/32 -i qr-+ -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 9697",
		"-d 172.24.4.228/32 -j DNAT --to-destination 10.1.0.2")
	w.chain(4, "nat", p+"POSTROUTING", "! -o qg-d48b49e0-aa -m conntrack ! --ctstate DNAT -j ACCEPT",
		"-o qg-d48b49e0-aa -j SNAT --to-source 172.24.4.227 --random-fully",
		"-m mark ! --mark 0x2/0xffff -m conntrack --ctstate DNAT -j SNAT --to-source 172.24.4.227 --random-fully")
	w.chain(4, "filter", p+"INPUT", "-m mark --mark 0x1/0xffff -j ACCEPT", "-p tcp -m tcp --dport 9697 -j DROP",
		"-o qr-c2d7dd02-56 -m mark ! --mark 0x4000000/0xffff0000 -j DROP")
}

func TestABadRuleHarmsItsOwnChainOnly(t *testing.T) {
	for name, rule := range map[string]string{
		"the parser refuses it": "-p tcp --nonsense 5 -j RETURN",
		"no such protocol":      "-p 300 -j RETURN",
		"no such set":           "-m set --match-set NIPv4nothere src -j RETURN",
		"no such chain":         "-j neutron-openvswi-nowhere",
		"the kernel refuses it": "-j MASQUERADE",
		"a smuggled line":       "-j RETURN\nCOMMIT\n*filter\n-F FORWARD",
	} {
		t.Run(name, func(t *testing.T) {
			e := kernel(t)
			w := newWanted()
			port(w)
			w.chain(4, "filter", prefix+"ibad", rule)
			w.chain(4, "filter", prefix+"sg-chain", "-m physdev --physdev-out tapbad --physdev-is-bridged -j "+prefix+"ibad", "-j ACCEPT")
			r := converge(t, e, w)
			if len(r.Problems) != 1 || r.Problems[0].Object != "port/"+prefix+"ibad" {
				t.Fatalf("problems: %v", r.Problems)
			}
			t.Log(r.Problems[0].Err)
			if got := sh(t, "iptables -S "+prefix+"ibad"); !strings.Contains(got, "-j DROP") {
				t.Fatalf("a chain that could not be made lets everything through:\n%s", got)
			}
			delete(w.chains, host.ChainKey{Family: 4, Table: "filter", Chain: prefix + "ibad"})
			w.chain(4, "filter", prefix+"sg-chain", "-j ACCEPT")
			clean(t, e, w)
			settled(t, w)
		})
	}
}

func TestAChangedChainLeavesTheCountersOfOthers(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	w.chain(4, "filter", prefix+"a", "-p tcp -j RETURN")
	w.chain(4, "filter", prefix+"b", "-j "+prefix+"a")
	clean(t, e, w)
	sh(t, "printf '*filter\n-I "+prefix+"b 1 -p gre -c 7 700\nCOMMIT\n' | iptables-restore -n")
	e.Invalidate()
	w.chain(4, "filter", prefix+"b", "-p gre", "-j "+prefix+"a")
	if r := clean(t, e, w); r.Puts != 0 {
		t.Fatalf("put %d", r.Puts)
	}
	w.chain(4, "filter", prefix+"a", "-p udp -j RETURN")
	clean(t, e, w)
	if got := sh(t, "iptables -v -S "+prefix+"b"); !strings.Contains(got, "-c 7 700") {
		t.Fatalf("counters are gone:\n%s", got)
	}
}

func forward(t *testing.T) []string {
	var out []string
	for l := range strings.Lines(sh(t, "iptables -S FORWARD")) {
		if rule, ok := strings.CutPrefix(strings.TrimSpace(l), "-A FORWARD "); ok {
			out = append(out, rule)
		}
	}
	return out
}

func TestHooksStayAboveAndOrderedAndOthersKeepTheirPlace(t *testing.T) {
	e := kernel(t)
	sh(t, "iptables -A FORWARD -s 1.1.1.1 -j DROP; iptables -A FORWARD -s 2.2.2.2 -j ACCEPT")
	w := newWanted()
	port(w)
	clean(t, e, w)
	one, two, first, second := "-s 1.1.1.1/32 -j DROP", "-s 2.2.2.2/32 -j ACCEPT", "-j "+top, "-j "+prefix+"FORWARD"
	want := func(rules ...string) {
		t.Helper()
		if got := forward(t); !slices.Equal(got, rules) {
			t.Fatalf("FORWARD is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(rules, "\n"))
		}
	}
	repair := func() {
		t.Helper()
		e.Invalidate()
		clean(t, e, w)
		settled(t, w)
	}
	want(first, second, one, two)
	settled(t, w)
	sh(t, "iptables -D FORWARD "+first)
	repair()
	want(first, second, one, two)
	sh(t, "iptables -D FORWARD "+second)
	repair()
	want(first, second, one, two)
	sh(t, "iptables -I FORWARD -s 3.3.3.3 -j DROP")
	repair()
	want("-s 3.3.3.3/32 -j DROP", first, second, one, two)
	sh(t, "iptables -D FORWARD "+first+"; iptables -A FORWARD "+first)
	repair()
	want(first, second, "-s 3.3.3.3/32 -j DROP", one, two)
	sh(t, "iptables -A FORWARD "+second)
	repair()
	want(first, second, "-s 3.3.3.3/32 -j DROP", one, two)
	sh(t, "iptables -F FORWARD")
	repair()
	want(first, second)
	sh(t, "iptables -I FORWARD -s 3.3.3.3 -j DROP")
	e.Invalidate()
	clean(t, e, newWanted())
	want("-s 3.3.3.3/32 -j DROP")
}

func TestHooksInAnySpellingAndWithAnyNumbers(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	w.chain(4, "filter", prefix+"a", "-j RETURN")
	w.chain(4, "filter", prefix+"b", "-j RETURN")
	w.hooks[host.HookKey{Family: 4, Table: "filter", Chain: "FORWARD", Rule: "-p 6 --jump " + prefix + "a"}] = host.Hook{Order: 10}
	w.hooks[host.HookKey{Family: 4, Table: "filter", Chain: "FORWARD", Rule: "-j " + prefix + "b"}] = host.Hook{Order: 20}
	clean(t, e, w)
	if r := clean(t, e, w); r.Puts+r.Drops != 0 {
		t.Fatalf("changed again: %+v", r)
	}
	before := generation(t)
	fresh := engine(t)
	clean(t, fresh, w)
	if r := clean(t, fresh, w); r.Puts+r.Drops != 0 || generation(t) != before {
		t.Fatalf("a fresh engine does not settle: %+v", r)
	}
	if got := forward(t); !slices.Equal(got, []string{"-p tcp -j " + prefix + "a", "-j " + prefix + "b"}) {
		t.Fatalf("FORWARD is %q", got)
	}
}

func TestSomeoneElsesChangeIsNoticedAndOursIsNot(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	port(w)
	clean(t, e, w)
	if e.backend != "nf_tables" {
		t.Skip("SKIPPED, NOT TESTED: legacy tables announce no changes")
	}
	w.chain(4, "filter", prefix+"i7c7ae61e-0", "-j RETURN")
	clean(t, e, w)
	time.Sleep(50 * time.Millisecond) // a wrong event would need a moment to show
	select {
	case <-e.Events():
		t.Fatal("our own change came as an event")
	default:
	}
	sh(t, "iptables -F "+prefix+"i7c7ae61e-0")
	select {
	case <-e.Events():
	case <-time.After(2 * time.Second):
		t.Fatal("no event")
	}
	if r := clean(t, e, w); r.Puts != 1 {
		t.Fatalf("%d puts", r.Puts)
	}
	settled(t, w)
}

func TestANamedNamespaceHasItsOwnRulesAndMayVanish(t *testing.T) {
	e := kernel(t, "qtest-a", "qtest-gone")
	sh(t, "mount -t tmpfs tmpfs /run/netns 2>/dev/null || { mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; }; ip netns add qtest-a")
	t.Cleanup(func() { sh(t, "ip netns del qtest-a 2>/dev/null || true; umount -l /run/netns") })
	w := newWanted()
	k := host.ChainKey{NetNS: "qtest-a", Family: 4, Table: "nat", Chain: prefix + "x"}
	w.chains[k] = host.Chain{Rules: "-d 10.0.0.1/32 -j DNAT --to-destination 10.1.0.2"}
	w.sets[host.SetKey{NetNS: "qtest-a", Name: group4}] = host.Set{Family: "inet", Members: "10.0.0.1"}
	clean(t, e, w)
	if r := clean(t, engine(t, "qtest-a"), w); r.Puts != 0 {
		t.Fatalf("%d puts by a fresh engine", r.Puts)
	}
	if out := sh(t, "ip netns exec qtest-a iptables-save; ip netns exec qtest-a ipset save"); !strings.Contains(out, "DNAT") ||
		!strings.Contains(out, group4) {
		t.Fatalf("not there:\n%s", out)
	}
	if out := sh(t, "iptables-save; ipset save"); strings.Contains(out, "DNAT") || strings.Contains(out, group4) {
		t.Fatalf("written into the wrong namespace:\n%s", out)
	}
	listening := func() int {
		e.watch.mu.Lock()
		defer e.watch.mu.Unlock()
		return len(e.watch.ears)
	}
	if n := listening(); n != 2 {
		t.Fatalf("listening in %d namespaces", n)
	}
	sh(t, "ip netns del qtest-a; ip netns add qtest-a")
	clean(t, e, w)
	if out := sh(t, "ip netns exec qtest-a iptables-save; ip netns exec qtest-a ipset save"); !strings.Contains(out, "DNAT") ||
		!strings.Contains(out, group4) {
		t.Fatalf("not there again:\n%s", out)
	}
	sh(t, "ip netns del qtest-a")
	eventually(t, "the socket in the deleted namespace is closed", func() bool { return listening() == 1 })
	w.chain(4, "filter", prefix+"here", "-j RETURN")
	r := converge(t, e, w)
	for _, p := range r.Problems {
		if !strings.Contains(p.Err.Error(), "namespace qtest-a is not there yet") {
			t.Fatalf("%v", p)
		}
	}
	if len(r.Problems) == 0 || !strings.Contains(sh(t, "iptables-save"), prefix+"here") {
		t.Fatalf("the rest did not go on: %v", r.Problems)
	}
}

func TestChainsInTheOtherBackendAreRefused(t *testing.T) {
	kernel(t)
	if _, err := find("iptables-legacy"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: %v", err)
	}
	sh(t, "iptables-legacy -N "+prefix+"old || true")
	if !strings.Contains(sh(t, "iptables-legacy-save 2>/dev/null || true"), prefix+"old") {
		t.Skip("SKIPPED, NOT TESTED: this kernel has no legacy tables")
	}
	t.Cleanup(func() { sh(t, "iptables-legacy -X "+prefix+"old || true") })
	_, err := engine(t).Chains().Read(ctx(t))
	if err == nil || !strings.Contains(err.Error(), prefix+"old") || !strings.Contains(err.Error(), "update-alternatives") {
		t.Fatalf("error: %v", err)
	}
}

func TestAMissingToolIsNamedWithItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := find("ip6tables-not-here"); err == nil || !strings.Contains(err.Error(), `package "iptables"`) {
		t.Errorf("%v", err)
	}
}

// TestFiveHundredPorts says what a whole host costs, and that one change does
// not cost the host.
func TestFiveHundredPorts(t *testing.T) {
	e := kernel(t)
	w := newWanted()
	port(w)
	for family := range map[int]bool{4: true, 6: true} {
		for i := range 500 {
			for _, kind := range []string{"i", "o", "s"} {
				w.chain(family, "filter", fmt.Sprintf("%s%s%09d", prefix, kind, i), "-m state --state RELATED,ESTABLISHED -j RETURN",
					"-p udp -m udp --sport 67 --dport 68 -j RETURN", "-p tcp -m tcp --dport 22 -j RETURN",
					"-m mac --mac-source FA:16:3E:03:00:E7 -j RETURN", "-m state --state INVALID -j DROP", "-j "+prefix+"sg-fallback")
			}
		}
	}
	took := func(what string, f func()) {
		began := time.Now()
		f()
		t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
	}
	took("all written", func() { clean(t, e, w) })
	took("nothing to do", func() { clean(t, e, w) })
	took("nothing to do, fresh", func() { settled(t, w) })
	w.chain(4, "filter", prefix+"i000000007", "-j RETURN")
	took("one chain", func() { clean(t, e, w) })
	w.chain(4, "filter", prefix+"i000000008", "-j "+prefix+"nowhere")
	w.chain(4, "filter", prefix+"i000000009", "-p nonsense -j RETURN")
	took("two bad chains", func() {
		if r := converge(t, e, w); len(r.Problems) != 2 {
			t.Fatalf("%v", r.Problems)
		}
	})
}
