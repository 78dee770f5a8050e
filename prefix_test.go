package neutrino_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"neutrino"
)

func prefixes(text string) []netip.Prefix {
	out := []netip.Prefix{}
	for _, s := range strings.Fields(text) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestPrefixesAreCompactedAndSubtracted(t *testing.T) {
	for _, c := range []struct{ list, minus, want string }{
		{"10.40.0.0/16 10.41.0.0/16", "", "10.40.0.0/15"},
		{"10.1.0.0/16 10.1.10.0/24", "", "10.1.0.0/16"},
		{"10.41.0.0/16 10.42.0.0/16", "", "10.41.0.0/16 10.42.0.0/16"},
		{"10.0.0.0/24", "10.0.0.0/26", "10.0.0.64/26 10.0.0.128/25"},
		{"10.0.0.0/24", "10.0.0.0/8", ""},
		{"10.0.0.0/30", "10.0.0.1/32 10.0.0.3/32", "10.0.0.0/32 10.0.0.2/32"},
		{"255.255.255.0/24", "255.255.255.255/32", "255.255.255.0/25 255.255.255.128/26 255.255.255.192/27 255.255.255.224/28 255.255.255.240/29 255.255.255.248/30 255.255.255.252/31 255.255.255.254/32"},
		{"fd00::/63", "fd00::/64", "fd00:0:0:1::/64"},
		{"ffff::/16 0::/1", "", "::/1 ffff::/16"},
	} {
		if got := neutrino.SubtractPrefixes(prefixes(c.list), prefixes(c.minus)); !slices.Equal(got, prefixes(c.want)) {
			t.Errorf("%s less %s: %v, want %s", c.list, c.minus, got, c.want)
		}
	}
}

func TestFreePrefixesFillSmallBlocksFirst(t *testing.T) {
	got := []netip.Prefix{}
	for p := range neutrino.FreePrefixes(prefixes("10.0.0.0/24 10.0.2.0/26 10.0.3.0/27"), 26) {
		got = append(got, p)
	}
	if want := prefixes("10.0.2.0/26 10.0.0.0/26 10.0.0.64/26 10.0.0.128/26 10.0.0.192/26"); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	for p := range neutrino.FreePrefixes(prefixes("::/0"), 128) {
		if p.String() != "::/128" {
			t.Errorf("%s", p)
		}
		break
	}
}

// Any set arithmetic on prefixes is what it is address by address.
func TestSubtractionHoldsForEachAddress(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := netip.AddrFrom4([4]byte{255, 255, 255, rapid.Byte().Draw(t, "address")})
		return netip.PrefixFrom(a, rapid.IntRange(24, 32).Draw(t, "bits")).Masked()
	})
	in := func(list []netip.Prefix, a netip.Addr) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	rapid.Check(t, func(t *rapid.T) {
		list, minus := rapid.SliceOfN(draw, 0, 6).Draw(t, "list"), rapid.SliceOfN(draw, 0, 6).Draw(t, "minus")
		got := neutrino.SubtractPrefixes(list, minus)
		for i := range 256 {
			a := netip.AddrFrom4([4]byte{255, 255, 255, byte(i)})
			if want := in(list, a) && !in(minus, a); in(got, a) != want {
				t.Fatalf("%s: %v, want %v, in %v", a, !want, want, got)
			}
		}
		if again := neutrino.CompactPrefixes(got); !slices.Equal(again, got) {
			t.Fatalf("%v can be written as %v", got, again)
		}
	})
}
