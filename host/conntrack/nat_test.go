package conntrack

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"neutrino/host"
	"neutrino/reconcile"
)

// through is a connection as its first packet came, and as it went on.
func through(protocol uint8, came, went [2]string) entry {
	orig := conn(protocol, came[0], came[1])
	return entry{tuple: orig, reply: conn(protocol, went[1], went[0])}
}

func TestTheRulesOfNowDecideWhichNATMayBeTracked(t *testing.T) {
	translation := host.Translation{
		DNAT: "172.24.4.228 10.1.0.2\n172.24.4.229:6:2222 10.1.0.3:22\n172.24.4.229:17:53 10.1.0.4\n" +
			"172.24.4.229:6:9000-9010 10.1.0.3:8000-8010\n172.24.4.229:6:7000-7010 10.1.0.3:80",
		SNAT: "10.1.0.2/32 172.24.4.228\n10.1.0.0/24 172.24.4.227\n0.0.0.0/0 172.24.4.226",
	}
	n, err := parseNAT(translation)
	if err != nil {
		t.Fatal(err)
	}
	type ends = [2]string
	const outside, fip, shared = "9.9.9.9:4000", "172.24.4.228:80", "172.24.4.229"
	for name, c := range map[string]struct {
		e    entry
		goes bool
	}{
		"in by the floating IP":            {through(6, ends{outside, fip}, ends{outside, "10.1.0.2:80"}), false},
		"to who had it before":             {through(6, ends{outside, fip}, ends{outside, "10.1.0.9:80"}), true},
		"to the router itself":             {through(6, ends{outside, fip}, ends{outside, fip}), true},
		"a floating IP that is gone":       {through(6, ends{outside, "172.24.4.230:80"}, ends{outside, "10.1.0.5:80"}), true},
		"to an address that nobody maps":   {through(6, ends{outside, "172.24.4.227:80"}, ends{outside, "172.24.4.227:80"}), false},
		"a forwarded port":                 {through(6, ends{outside, shared + ":2222"}, ends{outside, "10.1.0.3:22"}), false},
		"a forwarded port, elsewhere":      {through(6, ends{outside, shared + ":2222"}, ends{outside, "10.1.0.3:23"}), true},
		"a port of a forwarded range":      {through(6, ends{outside, shared + ":9010"}, ends{outside, "10.1.0.3:8010"}), false},
		"a port of another range":          {through(6, ends{outside, shared + ":9010"}, ends{outside, "10.1.0.3:8009"}), true},
		"a port behind the range":          {through(6, ends{outside, shared + ":9011"}, ends{outside, "10.1.0.3:8010"}), true},
		"a range to one port":              {through(6, ends{outside, shared + ":7003"}, ends{outside, "10.1.0.3:80"}), false},
		"a range to one port, elsewhere":   {through(6, ends{outside, shared + ":7003"}, ends{outside, "10.1.0.3:83"}), true},
		"the other protocol":               {through(17, ends{outside, shared + ":2222"}, ends{outside, "10.1.0.3:22"}), true},
		"a port that is not forwarded":     {through(17, ends{outside, shared + ":54"}, ends{outside, shared + ":54"}), false},
		"a forwarded port that stays":      {through(17, ends{outside, shared + ":53"}, ends{outside, "10.1.0.4:53"}), false},
		"out by its floating IP":           {through(6, ends{"10.1.0.2:5", outside}, ends{"172.24.4.228:6", outside}), false},
		"out by the gateway in its time":   {through(6, ends{"10.1.0.2:5", outside}, ends{"172.24.4.227:6", outside}), true},
		"out by the gateway":               {through(17, ends{"10.1.0.7:5", outside}, ends{"172.24.4.227:6", outside}), false},
		"another subnet":                   {through(17, ends{"10.2.0.7:5", outside}, ends{"172.24.4.226:6", outside}), false},
		"out by a floating IP that it had": {through(17, ends{"10.1.0.7:5", outside}, ends{"172.24.4.230:6", outside}), true},
		"east-west":                        {through(6, ends{"10.1.0.2:5", "10.2.0.2:80"}, ends{"10.1.0.2:5", "10.2.0.2:80"}), false},
		"hairpin":                          {through(6, ends{"10.1.0.7:5", fip}, ends{"172.24.4.227:5", "10.1.0.2:80"}), false},
		"the metadata redirect":            {through(6, ends{"10.1.0.7:5", "169.254.169.254:80"}, ends{"10.1.0.7:5", "10.1.0.1:9697"}), false},
		"the metadata redirect of IPv6": {through(6, ends{"[fe80::7]:5", "[fe80::a9fe:a9fe]:80"},
			ends{"[fe80::7]:5", "[fe80::1]:9697"}), false},
	} {
		if got := n.disagrees(c.e); got != c.goes {
			t.Errorf("%s: goes %v", name, got)
		}
	}
	none, _ := parseNAT(host.Translation{})
	if !none.disagrees(through(6, ends{"10.1.0.2:5", outside}, ends{"172.24.4.228:6", outside})) {
		t.Error("without any NAT, tracked NAT stays")
	}
}

func TestATranslationThatCannotBeReadIsNotEnforced(t *testing.T) {
	for _, text := range []host.Translation{{DNAT: "x"}, {DNAT: "10.0.0.1"}, {DNAT: "10.0.0.1:6 10.0.0.2"}, {DNAT: "10.0.0.1:999:1 10.0.0.2"},
		{DNAT: "10.0.0.1:6:99999 10.0.0.2"}, {DNAT: "10.0.0.1:6:9-8 10.0.0.2"}, {DNAT: "10.0.0.1:6:8-9 10.0.0.2:8-10"}, {DNAT: "10.0.0.1 y"}, {SNAT: "10.0.0.0/24"}, {SNAT: "z 10.0.0.1"}, {SNAT: "10.0.0.0/99 10.0.0.1"}} {
		h := NewTranslations(Options{NetNSDir: t.TempDir()})
		err := h.Apply(t.Context(), reconcile.Diff[string, host.Translation]{Put: map[string]host.Translation{"qrouter-x": text}})
		if err == nil || !strings.Contains(err.Error(), "qrouter-x") || strings.Contains(err.Error(), "not there") {
			t.Errorf("%+v: %v", text, err)
		}
		if have, _ := h.Read(t.Context()); len(have) != 0 {
			t.Errorf("%+v counts as enforced", text)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n, err := parseNAT(host.Translation{DNAT: rapid.String().Draw(t, "DNAT"), SNAT: rapid.String().Draw(t, "SNAT")})
		if err == nil {
			n.disagrees(through(6, [2]string{"1.1.1.1:1", "2.2.2.2:2"}, [2]string{"1.1.1.1:1", "3.3.3.3:2"}))
		}
	})
	d, to, err := netip.Addr{}, destination{}, error(nil)
	if d, to, err = parseDestination("[2001:db8::1]:6:80", "[2001:db8::2]:8080"); err != nil || d.String() != "2001:db8::1" ||
		to.protocol != 6 || to.ports != (span{80, 80}) || to.toPorts != (span{8080, 8080}) {
		t.Errorf("%v %+v %v", d, to, err)
	}
}
