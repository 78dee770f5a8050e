package neutrino

import (
	"iter"
	"net/netip"
	"slices"
)

// CompactPrefixes is the same addresses in as few prefixes as possible, in
// order: 10.40.0.0/16 and 10.41.0.0/16 are 10.40.0.0/15.
func CompactPrefixes(list []netip.Prefix) []netip.Prefix {
	return prefixesOf(MergePools(poolsOf(list)))
}

// SubtractPrefixes is the addresses of list that minus does not have, in as few
// prefixes as possible, in order.
func SubtractPrefixes(list, minus []netip.Prefix) []netip.Prefix {
	gone := MergePools(poolsOf(minus))
	var left []Pool
	for _, p := range MergePools(poolsOf(list)) {
		// The first of those that do not end before p begins.
		at, _ := slices.BinarySearchFunc(gone, p.Start, func(g Pool, a netip.Addr) int { return g.End.Compare(a) })
		for ; at < len(gone) && gone[at].Overlaps(p) && p.Start.IsValid(); at++ {
			if p.Start.Less(gone[at].Start) {
				left = append(left, Pool{p.Start, gone[at].Start.Prev()})
			}
			p.Start = netip.Addr{}
			if gone[at].End.Less(p.End) {
				p.Start = gone[at].End.Next()
			}
		}
		if p.Start.IsValid() {
			left = append(left, p)
		}
	}
	return prefixesOf(left)
}

// CoverPrefix reports whether every address of p is in the list.
func CoverPrefix(list []netip.Prefix, p netip.Prefix) bool {
	return len(SubtractPrefixes([]netip.Prefix{p}, list)) == 0
}

// FreePrefixes yields the prefixes of the length that can be cut from the
// blocks, which do not overlap: those of the smallest block that is large enough
// come first, and of equal blocks those of the lowest, so that large blocks stay
// whole.
func FreePrefixes(blocks []netip.Prefix, bits int) iter.Seq[netip.Prefix] {
	fitting := slices.DeleteFunc(slices.Clone(blocks), func(b netip.Prefix) bool { return b.Bits() > bits })
	slices.SortStableFunc(fitting, func(a, b netip.Prefix) int { return b.Bits() - a.Bits() })
	return func(yield func(netip.Prefix) bool) {
		for _, b := range fitting {
			last := LastAddr(b)
			for a := FirstAddr(b); a.IsValid(); {
				p := netip.PrefixFrom(a, bits)
				if !yield(p) {
					return
				}
				if a = LastAddr(p); a == last {
					break
				}
				a = a.Next()
			}
		}
	}
}

func poolsOf(list []netip.Prefix) []Pool {
	out := make([]Pool, 0, len(list))
	for _, p := range list {
		out = append(out, Pool{FirstAddr(p), LastAddr(p)})
	}
	return out
}

// prefixesOf cuts ranges into the fewest prefixes.
func prefixesOf(ranges []Pool) []netip.Prefix {
	out := []netip.Prefix{}
	for _, r := range ranges {
		for a := r.Start; a.IsValid(); {
			p := netip.PrefixFrom(a, a.BitLen())
			for p.Bits() > 0 {
				wider := netip.PrefixFrom(a, p.Bits()-1)
				if wider.Masked().Addr() != a || r.End.Less(LastAddr(wider)) {
					break
				}
				p = wider
			}
			out = append(out, p)
			if a = LastAddr(p); a == r.End {
				break
			}
			a = a.Next()
		}
	}
	return out
}
