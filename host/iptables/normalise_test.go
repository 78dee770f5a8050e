package iptables

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"neutrino/host"
)

func TestOneSpellingForEachRule(t *testing.T) {
	for spelled, want := range map[string]string{
		"-p 6 -m tcp --dport 22 -j RETURN":             "-p tcp -m tcp --dport 22 -j RETURN",
		"-p tcp --dport 22:22 -j RETURN":               "-p tcp -m tcp --dport 22 -j RETURN",
		"-p tcp -m tcp --dport 0:65535 -j RETURN":      "-p tcp -j RETURN",
		"-p tcp -m tcp -m multiport --dports 1:2 -j X": "-p tcp -m multiport --dports 1:2 -j X",
		"-p 112 -j X":                          "-p vrrp -j X",
		"-p 113 -j X":                          "-p 113 -j X",
		"-p all -s 0.0.0.0/0 -j X":             "-j X",
		"-p 58 -m icmpv6 --icmpv6-type 8 -j X": "-p ipv6-icmp -m icmp6 --icmpv6-type 8 -j X",
		"-s 10.1.2.3/24 -j X":                  "-s 10.1.2.0/24 -j X",
		"-s 10.1.2.3/255.255.255.0 -j X":       "-s 10.1.2.0/24 -j X",
		"-s 2001:DB8::1 -j X":                  "-s 2001:db8::1/128 -j X",
		"-j X -m mac --mac-source fa:16:3e:00:00:01 -s 10.0.0.1": "-s 10.0.0.1/32 -m mac --mac-source FA:16:3E:00:00:01 -j X",
		"-m conntrack --ctstate ESTABLISHED,RELATED -j X":        "-m state --state RELATED,ESTABLISHED -j X",
		"-m conntrack ! --ctstate DNAT -j X":                     "-m conntrack ! --ctstate DNAT -j X",
		"-m comment --comment x -m physdev --physdev-in a -j X":  "-m physdev --physdev-in a -m comment --comment x -j X",
		"-m physdev --physdev-is-bridged --physdev-in a -j X":    "-m physdev --physdev-in a --physdev-is-bridged -j X",
		`-m comment --comment "one word" -j X`:                   `-m comment --comment "one word" -j X`,
		`-m comment --comment "-j DROP" -j X`:                    `-m comment --comment "-j DROP" -j X`,
		"-j MARK --set-xmark 1/65535":                            "-j MARK --set-xmark 0x1/0xffff",
		"-j CT --zone 0x1001":                                    "-j CT --zone 4097",
		"":                                                       "",
		"!":                                                      "!",
		"-p":                                                     "-p",
		"-j X -j Y":                                              "-j X -j Y",
		"-m limit --limit 5/min -m comment --comment a -m set --x y": "-m limit --limit 5/min -m comment --comment a -m set --x y",
	} {
		if got := Normalise(spelled); got != want {
			t.Errorf("Normalise(%q)\n got %q\nwant %q", spelled, got, want)
		}
	}
}

func TestDifferentRulesStayDifferent(t *testing.T) {
	rules := []string{
		"-j X", "-j Y", "-g X", "-s 10.0.0.1/32 -j X", "! -s 10.0.0.1/32 -j X", "-d 10.0.0.1/32 -j X", "-p tcp -j X", "! -p tcp -j X",
		"-p tcp -m tcp --dport 1 -j X", "-p tcp -m tcp --sport 1 -j X", "-p tcp -m tcp ! --dport 1 -j X",
		"-p icmp -m icmp --icmp-type 8 -j X", "-p icmp -m icmp --icmp-type 8/0 -j X", "-m state --state NEW -j X",
		"-m state ! --state NEW -j X", `-m comment --comment a -j X`, `-m comment --comment "a b" -j X`, "-j CT --zone 1", "-j CT --notrack",
		"-m set --match-set A src -j X", "-m set --match-set A dst -j X", "-m set ! --match-set A src -j X", "-i a -j X", "-o a -j X",
		"-m physdev --physdev-in a -j X", "-m physdev --physdev-out a -j X", "-m physdev --physdev-in a --physdev-is-bridged -j X",
	}
	seen := map[string]string{}
	for _, r := range rules {
		n := Normalise(r)
		if other, ok := seen[n]; ok {
			t.Errorf("%q and %q both become %q", r, other, n)
		}
		seen[n] = r
	}
}

func TestTheNormalFormIsStable(t *testing.T) {
	words := []string{"-s", "-d", "-p", "-m", "-j", "!", "tcp", "udp", "6", "0", "state", "conntrack", "--ctstate", "NEW,INVALID",
		"comment", "--comment", `"a b"`, `"-j"`, "--dport", "1:2", "10.0.0.1", "10.0.0.1/8", "::1", "X", "-i", "eth0", "--mark", "1/2", "-f", "--"}
	rapid.Check(t, func(t *rapid.T) {
		rule := strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 12).Draw(t, "words"), " ")
		once := Normalise(rule)
		if twice := Normalise(once); twice != once {
			t.Fatalf("%q becomes %q becomes %q", rule, once, twice)
		}
	})
}

func FuzzNormalise(f *testing.F) {
	f.Add(`-s 10.0.0.1/32 -m comment --comment "x \" y" -j CT --zone 1`)
	f.Fuzz(func(t *testing.T, rule string) {
		once := Normalise(rule)
		if strings.ContainsAny(once, "\n") && !strings.ContainsAny(rule, "\n") {
			t.Fatalf("%q became %q", rule, once)
		}
		words := tokens(rule)
		if again := tokens(render(words)); len(again) != len(words) {
			t.Fatalf("%q has words %v, written and read again %v", rule, words, again)
		}
	})
}

func FuzzParseSave(f *testing.F) {
	f.Add("*filter\n:INPUT ACCEPT [0:0]\n:neutron-filter-top - [0:0]\n-A neutron-filter-top -j RETURN\nCOMMIT\n")
	f.Add("create NIPv4a hash:net family inet\nadd NIPv4a 10.0.0.1\n")
	f.Fuzz(func(t *testing.T, text string) {
		e := New(Options{Chains: []string{top}})
		e.names = protocolNames()
		e.parseSave(text)
		parseSets(text)
		parseGeneration([]byte(text))
	})
}

func TestSpellingDoesNotCountInComparisons(t *testing.T) {
	if !SameChain(host.Chain{Rules: "-p 6 -j X\n-j Y"}, host.Chain{Rules: "-p tcp -j X\n-j Y"}) ||
		SameChain(host.Chain{Rules: "-j X\n-j Y"}, host.Chain{Rules: "-j Y\n-j X"}) || SameChain(host.Chain{Rules: "-j X"}, host.Chain{}) {
		t.Error("SameChain")
	}
	if !SameSet(host.Set{Family: "inet", Members: "0.0.0.0/0\n10.0.0.1/32"},
		host.Set{Family: "inet", Members: "0.0.0.0/1\n10.0.0.1\n128.0.0.0/1"}) {
		t.Error("SameSet")
	}
}

func TestTheGuiltyLineIsFoundInEveryMessage(t *testing.T) {
	for text, line := range map[string]int{
		"iptables-restore v1.8.9 (nf_tables): unknown option \"--dport\"\nError occurred at line: 4\nTry `iptables-restore -h'": 4,
		"iptables-restore v1.8.9 (nf_tables): \nline 14: RULE_APPEND failed (Invalid argument): rule in chain PREROUTING":       14,
		"iptables-restore: line 7 failed": 7, "ipset v7.17: Error in line 2: Syntax error": 2, "out of memory": 0,
	} {
		if got := blamed(&refused{stderr: text}); got != line {
			t.Errorf("%q: line %d", text, got)
		}
	}
}

func BenchmarkNormalise(b *testing.B) {
	for b.Loop() {
		Normalise(`-s 10.1.0.2/32 -p tcp -m mac --mac-source FA:16:3E:03:00:E7 -m comment --comment "Allow traffic" -j RETURN`)
	}
}
