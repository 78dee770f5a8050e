package hostile

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
)

// firewall is the filter table and the sets of a plan, as far as bridged frames
// of instances meet them; it knows the matches that the firewall uses and fails
// on any other.
type firewall struct {
	t      testing.TB
	chains map[int]map[string][][]string // by family and name: the words of each rule
	sets   map[string][]netip.Prefix
	start  string
}

func readFirewall(t testing.TB, s *host.State) *firewall {
	f := &firewall{t: t, chains: map[int]map[string][][]string{4: {}, 6: {}}, sets: map[string][]netip.Prefix{}, start: names.OVSChains("neutron").Wrap("sg-chain")}
	for k, c := range s.Chains {
		if k.NetNS == "" && k.Table == "filter" {
			for _, line := range lines(c.Rules) {
				f.chains[k.Family][k.Chain] = append(f.chains[k.Family][k.Chain], strings.Fields(line))
			}
		}
	}
	for k, set := range s.Sets {
		for _, m := range lines(set.Members) {
			f.sets[k.Name] = append(f.sets[k.Name], prefixOf(m))
		}
	}
	return f
}

func prefixOf(s string) netip.Prefix {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen())
	}
	return netip.MustParsePrefix(s)
}

// forwards reports whether the packet passes.
func (f *firewall) forwards(p packet, tap string) bool {
	return f.run(p, tap, f.start) == "ACCEPT"
}

// run is the verdict of a chain, "" where it returns.
func (f *firewall) run(p packet, tap, chain string) string {
	family := 4
	if p.src.Is6() {
		family = 6
	}
	rules, known := f.chains[family][chain]
	if !known {
		f.t.Fatalf("no chain %q", chain)
	}
	for _, words := range rules {
		matched, target := f.match(p, tap, words)
		switch {
		case !matched:
		case target == "RETURN":
			return ""
		case target == "ACCEPT" || target == "DROP":
			return target
		default:
			if verdict := f.run(p, tap, target); verdict != "" {
				return verdict
			}
		}
	}
	return ""
}

// match reports whether all words of a rule hold for the packet.
func (f *firewall) match(p packet, tap string, words []string) (ok bool, target string) {
	ok = true
	for i := 0; i < len(words); i++ {
		word := words[i]
		value := func() string { i++; return words[i] }
		switch word {
		case "-m":
			value()
		case "-j":
			target = value()
		case "-s":
			ok = prefixOf(value()).Contains(p.src) && ok
		case "-d":
			ok = prefixOf(value()).Contains(p.dst) && ok
		case "-p":
			ok = protocolNamed(value()) == p.proto && ok
		case "--sport":
			ok = inRange(value(), p.a) && ok
		case "--dport", "--dports":
			ok = inRange(value(), p.b) && ok
		case "--icmp-type", "--icmpv6-type":
			kind, code, coded := strings.Cut(value(), "/")
			ok = number(kind) == p.a && (!coded || number(code) == p.b) && ok
		case "--mac-source":
			ok = strings.EqualFold(value(), p.mac) && ok
		case "--state": // the first packet of a connection, and a valid one
			ok = strings.Contains(value(), "NEW") && ok
		case "--physdev-in":
			ok = value() == tap && !p.ingress && ok
		case "--physdev-out":
			ok = value() == tap && p.ingress && ok
		case "--physdev-is-bridged":
		case "--match-set":
			set, side := f.sets[value()], value()
			if set == nil {
				f.t.Fatalf("no such set: %v", words)
			}
			a := map[string]netip.Addr{"src": p.src, "dst": p.dst}[side]
			ok = slices.ContainsFunc(set, func(x netip.Prefix) bool { return x.Contains(a) }) && ok
		default:
			f.t.Fatalf("a match that this firewall does not know: %q in %v", word, words)
		}
	}
	return ok, target
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func inRange(span string, n int) bool {
	low, high, isRange := strings.Cut(span, ":")
	if !isRange {
		high = low
	}
	return number(low) <= n && n <= number(high)
}

func protocolNamed(name string) int {
	n, ok := neutrino.ProtocolNumber(name)
	if !ok {
		panic("no protocol " + name)
	}
	return n
}

// text is the chains that a packet of the port meets.
func (f *firewall) text(port neutrino.ID, p packet) string {
	family := map[bool]int{false: 4, true: 6}[p.src.Is6()]
	c := names.OVSChains("neutron")
	var b strings.Builder
	for _, chain := range []string{c.In(port), c.Out(port), c.Spoof(port)} {
		b.WriteString(chain + "\n")
		for _, words := range f.chains[family][chain] {
			b.WriteString("\t" + strings.Join(words, " ") + "\n")
		}
	}
	return b.String()
}
