package neutrino_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"neutrino"
)

func drawPrefix(t *rapid.T) netip.Prefix {
	if rapid.Bool().Draw(t, "v4") {
		b := rapid.Uint32().Draw(t, "address")
		a := netip.AddrFrom4([4]byte{byte(b >> 24), byte(b >> 16), byte(b >> 8), byte(b)})
		return netip.PrefixFrom(a, rapid.IntRange(1, 32).Draw(t, "bits")).Masked()
	}
	var b [16]byte
	for i := range b {
		b[i] = rapid.Byte().Draw(t, "octet")
	}
	b[0] |= 0x20 // never an IPv4-mapped address
	return netip.PrefixFrom(netip.AddrFrom16(b), rapid.IntRange(1, 128).Draw(t, "bits")).Masked()
}

func drawPool(t *rapid.T, in netip.Prefix) neutrino.Pool {
	whole := neutrino.Pool{Start: neutrino.FirstAddr(in), End: neutrino.LastAddr(in)}
	last := min(whole.Size()-1, 5000)
	i, j := rapid.Uint64Range(0, last).Draw(t, "i"), rapid.Uint64Range(0, last).Draw(t, "j")
	return neutrino.Pool{Start: whole.At(min(i, j)), End: whole.At(max(i, j))}
}

func TestThePrefixEndsWhereTheNextBegins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPrefix(t)
		first, last := neutrino.FirstAddr(p), neutrino.LastAddr(p)
		if !p.Contains(first) || !p.Contains(last) || p.Contains(first.Prev()) || p.Contains(last.Next()) {
			t.Fatalf("%s is said to be %s to %s", p, first, last)
		}
	})
}

func TestAPoolCountsAndNumbersItsAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := drawPool(t, drawPrefix(t))
		if got := pool.At(pool.Size() - 1); got != pool.End {
			t.Fatalf("the last of %s (%d) is %s", pool, pool.Size(), got)
		}
	})
}

func TestDefaultPoolsAreTheUsableRangeWithoutTheGateway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPrefix(t)
		pools := neutrino.DefaultPools(p, netip.Addr{})
		gateway := drawPool(t, p).Start
		split := neutrino.DefaultPools(p, gateway)
		for _, pool := range split {
			if !pool.Valid() || pool.Contains(gateway) || !p.Contains(pool.Start) || !p.Contains(pool.End) {
				t.Fatalf("%s without %s gives %v", p, gateway, split)
			}
		}
		back := append(slices.Clone(split), neutrino.Pool{Start: gateway, End: gateway})
		if pools[0].Contains(gateway) && !slices.Equal(neutrino.MergePools(back), pools) {
			t.Fatalf("%s: %v and %s are not %v", p, split, gateway, pools)
		}
	})
}

func TestDefaultPoolsOfKnownBlocks(t *testing.T) {
	for _, c := range []struct{ cidr, gateway, want string }{
		{"10.0.0.0/24", "10.0.0.1", "10.0.0.2-10.0.0.254"},
		{"10.0.0.0/24", "10.0.0.10", "10.0.0.1-10.0.0.9 10.0.0.11-10.0.0.254"},
		{"10.0.0.0/24", "10.9.9.9", "10.0.0.1-10.0.0.254"},
		{"10.0.0.0/31", "", "10.0.0.0-10.0.0.1"},
		{"10.0.0.7/32", "", "10.0.0.7-10.0.0.7"},
		{"fd00::/64", "fd00::", "fd00::1-fd00::ffff:ffff:ffff:ffff"},
	} {
		gateway, _ := netip.ParseAddr(c.gateway)
		got := ""
		for i, p := range neutrino.DefaultPools(netip.MustParsePrefix(c.cidr), gateway) {
			if i > 0 {
				got += " "
			}
			got += p.String()
		}
		if got != c.want {
			t.Errorf("%s with gateway %s: %s, want %s", c.cidr, c.gateway, got, c.want)
		}
	}
}

func TestMergingKeepsEachAddressOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := netip.MustParsePrefix("10.0.0.0/19")
		pools := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) neutrino.Pool { return drawPool(t, in) }), 0, 8).Draw(t, "pools")
		merged := neutrino.MergePools(pools)
		for i, p := range merged {
			if i > 0 && merged[i-1].End.Next().Compare(p.Start) >= 0 {
				t.Fatalf("%v is not merged", merged)
			}
		}
		a := (neutrino.Pool{Start: neutrino.FirstAddr(in)}).At(rapid.Uint64Range(0, 5100).Draw(t, "a"))
		holds := func(list []neutrino.Pool) bool {
			return slices.ContainsFunc(list, func(p neutrino.Pool) bool { return p.Contains(a) })
		}
		if holds(pools) != holds(merged) {
			t.Fatalf("%s: in %v and in %v differ", a, pools, merged)
		}
	})
}

func TestChoosingFindsAFreeAddressWhileThereIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := drawPool(t, netip.MustParsePrefix("10.0.0.0/19"))
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		held := map[netip.Addr]bool{}
		density := rapid.Float64Range(0, 1).Draw(t, "density")
		free := 0
		for i := range pool.Size() {
			if held[pool.At(i)] = rng.Float64() < density; !held[pool.At(i)] {
				free++
			}
		}
		c := neutrino.Choice{Held: func(a netip.Addr) bool { return held[a] }, Below: rng.Uint64N}
		for _, pick := range []func(neutrino.Choice) (netip.Addr, bool){pool.Random, pool.Lowest} {
			a, ok := pick(c)
			if ok != (free > 0) || ok && (held[a] || !pool.Contains(a)) {
				t.Fatalf("%s with %d free gives %s, %t", pool, free, a, ok)
			}
		}
		if a, ok := pool.Lowest(c); ok {
			for b := pool.Start; b != a; b = b.Next() {
				if !held[b] {
					t.Fatalf("%s is free and lower than %s", b, a)
				}
			}
		}
	})
}

func TestChoosingInAHugePoolLooksAtFewAddresses(t *testing.T) {
	for _, cidr := range []string{"10.0.0.0/8", "fd00::/64"} {
		pool := neutrino.DefaultPools(netip.MustParsePrefix(cidr), netip.Addr{})[0]
		rng := rand.New(rand.NewPCG(1, 2))
		looked := 0
		taken := pool.At(30_000) // all below are held
		c := neutrino.Choice{Below: rng.Uint64N, Held: func(a netip.Addr) bool { looked++; return a.Less(taken) }}
		if a, ok := pool.Random(c); !ok || a.Less(taken) || pool.At(200_000).Less(a) {
			t.Errorf("%s: %s, %t", cidr, a, ok)
		}
		if looked > 100 {
			t.Errorf("%s: looked at %d addresses", cidr, looked)
		}
	}
}
