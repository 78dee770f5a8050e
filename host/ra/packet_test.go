package ra

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"neutrino/host"
)

var routerMAC = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 1}

func mustParse(t testing.TB, a host.Advert) content {
	t.Helper()
	c, err := parse(a)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every byte of an advertisement, field by field as RFC 4861 and 8106 draw them.
func TestTheBytesOfAnAdvertisement(t *testing.T) {
	c := mustParse(t, host.Advert{Prefixes: "2001:db8:1::/64 1 1\n2001:db8:2::/64 1 0", Managed: true, Other: true, MTU: 1442, DNS: "2001:db8::53,2001:db8::54"})
	want := strings.Join([]string{
		"8600 0000 40 c0 012c 00000000 00000000",
		"01 01 fa163e000001",
		"05 01 0000 000005a2",
		"03 04 40 c0 00015180 00003840 00000000 20010db8000100000000000000000000",
		"03 04 40 80 00015180 00003840 00000000 20010db8000200000000000000000000",
		"19 05 0000 0000012c 20010db8000000000000000000000053 20010db8000000000000000000000054",
	}, "")
	if got := hex.EncodeToString(message(c, content{}, routerMAC, routerLifetime)); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if last := message(c, content{}, routerMAC, 0); last[6] != 0 || last[7] != 0 {
		t.Error("the last message has a router lifetime")
	}
}

// What is not said any more is taken back with a lifetime of zero; what is said
// again is not.
func TestWhatIsGoneIsTakenBack(t *testing.T) {
	before := mustParse(t, host.Advert{Prefixes: "2001:db8:1::/64 1 1\n2001:db8:2::/64 1 1", DNS: "2001:db8::53"})
	now := mustParse(t, host.Advert{Prefixes: "2001:db8:2::/64 1 1"})
	gone := before.gone(now)
	if len(gone.prefixes) != 1 || gone.prefixes[0].String() != "2001:db8:1::/64" || len(gone.dns) != 1 {
		t.Errorf("gone: %+v", gone)
	}
	got := hex.EncodeToString(message(now, gone, routerMAC, routerLifetime))
	for _, want := range []string{"030440c0000000000000000000000000" + "20010db80001", "1903000000000000" + "20010db8"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

// Whatever is said fits into the smallest packet that a link must carry.
func TestTheLargestMessageFits(t *testing.T) {
	full := content{mtu: 9000}
	for i := range maxPrefixes {
		full.prefixes = append(full.prefixes, prefix{netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, byte(i)}), 64), true, true})
	}
	for i := range maxDNS {
		full.dns = append(full.dns, netip.AddrFrom16([16]byte{0x20, byte(i)}))
	}
	if n := len(message(full, full, routerMAC, routerLifetime)); n > 1280-40 {
		t.Errorf("%d bytes", n)
	}
}

func TestAnAdvertThatCannotBeSaidIsRefused(t *testing.T) {
	for _, a := range []host.Advert{
		{Prefixes: "10.0.0.0/24 1 1"}, {Prefixes: "2001:db8::/64 1"}, {Prefixes: "2001:db8::/64 1 2"}, {Prefixes: "::ffff:10.0.0.0/120 1 1"},
		{DNS: "192.0.2.1"}, {DNS: "fe80::1%eth0"}, {DNS: "x"}, {MTU: -1}, {MTU: 70000},
		{Prefixes: strings.Repeat("2001:db8::/64 1 1\n", maxPrefixes+1)}, {DNS: strings.Repeat("::1,", maxDNS) + "::1"},
	} {
		if c, err := parse(a); err == nil {
			t.Errorf("%+v: %+v", a, c)
		}
	}
}

func TestWhichSolicitationsAreBelieved(t *testing.T) {
	host1, nobody := netip.MustParseAddr("fe80::1"), netip.IPv6Unspecified()
	source := "0101fa163e000002"
	for name, c := range map[string]struct {
		bytes string
		from  netip.Addr
		want  error
	}{
		"bare":                     {"8500000000000000", host1, nil},
		"with its address":         {"8500000000000000" + source, host1, nil},
		"before it has an address": {"8500000000000000", nobody, nil},
		"unknown options":          {"8500000000000000" + "0e01000000000000" + source, host1, nil},
		"nobody names an address":  {"8500000000000000" + source, nobody, errAddress},
		"short":                    {"85000000000000", host1, errShort},
		"empty":                    {"", host1, errShort},
		"another type":             {"8600000000000000", host1, errType},
		"another code":             {"8501000000000000", host1, errCode},
		"option of no length":      {"8500000000000000" + "0100fa163e000002", host1, errOption},
		"option beyond the end":    {"8500000000000000" + "0102fa163e000002", host1, errOption},
		"half an option":           {"8500000000000000" + "01", host1, errOption},
	} {
		b, err := hex.DecodeString(c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got := checkSolicitation(b, c.from); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Nothing that comes from the wire panics or hangs, and what is believed is a
// whole message.
func FuzzSolicitation(f *testing.F) {
	for _, s := range []string{"8500000000000000", "85000000000000000101fa163e000002", "8500000000000000010000", "85000000000000000eff"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte(netip.MustParseAddr("fe80::1").AsSlice()))
	}
	f.Fuzz(func(t *testing.T, b, addr []byte) {
		from, ok := netip.AddrFromSlice(addr)
		if !ok {
			from = netip.IPv6Unspecified()
		}
		if checkSolicitation(b, from) != nil {
			return
		}
		if len(b) < solicitationSize || len(b)%8 != 0 || b[0] != typeSolicitation {
			t.Errorf("believed: %x", b)
		}
		s := schedule{pace: usualPace(), random: uniform}
		s.solicited(s.all, from)
	})
}
