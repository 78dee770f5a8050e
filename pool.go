package neutrino

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// PoolWindow is how many of a pool's lowest addresses an address is first
// chosen from at random (api.md section 3.3): wide enough that two requests at
// the same time rarely choose the same one, narrow enough that addresses stay
// near the pool's start.
const PoolWindow = 1000

// poolProbes is how many addresses of a window are tried before it counts as
// full and is made wider.
const poolProbes = 8

// lastProbes is how many addresses of the whole pool are tried before it is
// searched one by one.
const lastProbes = 32

// FirstAddr is the lowest address of the prefix: its network address.
func FirstAddr(p netip.Prefix) netip.Addr { return p.Masked().Addr() }

// LastAddr is the highest address of the prefix; for IPv4 its broadcast address.
func LastAddr(p netip.Prefix) netip.Addr {
	first := FirstAddr(p)
	host := first.BitLen() - p.Bits()
	w := toWide(first)
	if host >= 64 {
		w.lo = ^uint64(0)
		w.hi |= 1<<(host-64) - 1
	} else {
		w.lo |= 1<<host - 1
	}
	return w.addr(first.Is4())
}

// Contains reports whether the address lies in the pool.
func (p Pool) Contains(a netip.Addr) bool {
	return a.BitLen() == p.Start.BitLen() && p.Start.Compare(a) <= 0 && a.Compare(p.End) <= 0
}

// Valid reports whether both ends are addresses of one family, without zone,
// and the start is not above the end.
func (p Pool) Valid() bool {
	return p.Start.IsValid() && p.Start.BitLen() == p.End.BitLen() &&
		p.Start.Zone() == "" && p.End.Zone() == "" && p.Start.Compare(p.End) <= 0
}

// Overlaps reports whether the pools share an address.
func (p Pool) Overlaps(q Pool) bool { return p.Contains(q.Start) || q.Contains(p.Start) }

// String is the pool as error messages write it: "10.0.0.2-10.0.0.254".
func (p Pool) String() string { return p.Start.String() + "-" + p.End.String() }

// Size is the number of addresses in the pool; the highest uint64 stands for
// any larger number.
func (p Pool) Size() uint64 {
	n := toWide(p.End).minus(toWide(p.Start))
	if n.hi > 0 || n.lo == ^uint64(0) {
		return ^uint64(0)
	}
	return n.lo + 1
}

// At is the address that lies offset addresses above the pool's start.
func (p Pool) At(offset uint64) netip.Addr {
	return toWide(p.Start).plus(offset).addr(p.Start.Is4())
}

// DefaultPools are the pools of a subnet that names none (api.md section 3.2):
// its usable range without the gateway, in two parts when the gateway lies
// within. IPv4 loses its network and broadcast addresses (but for /31 and /32),
// IPv6 its first address, the subnet-router anycast address of RFC 4291.
func DefaultPools(cidr netip.Prefix, gateway netip.Addr) []Pool {
	whole := Pool{FirstAddr(cidr), LastAddr(cidr)}
	if cidr.Bits() < cidr.Addr().BitLen()-1 {
		whole.Start = whole.Start.Next()
		if cidr.Addr().Is4() {
			whole.End = whole.End.Prev()
		}
	}
	return without(whole, gateway)
}

// without is the pool less one address.
func without(p Pool, a netip.Addr) []Pool {
	if !a.IsValid() || !p.Contains(a) {
		return []Pool{p}
	}
	pools := []Pool{}
	if a != p.Start {
		pools = append(pools, Pool{p.Start, a.Prev()})
	}
	if a != p.End {
		pools = append(pools, Pool{a.Next(), p.End})
	}
	return pools
}

// MergePools sorts the pools and joins those that touch or overlap. It leaves
// its argument as it is.
func MergePools(pools []Pool) []Pool {
	sorted := slices.Clone(pools)
	slices.SortFunc(sorted, func(a, b Pool) int { return a.Start.Compare(b.Start) })
	merged := []Pool{}
	for _, p := range sorted {
		if n := len(merged); n > 0 {
			last := &merged[n-1]
			if last.Overlaps(p) || last.End.Next() == p.Start {
				if last.End.Less(p.End) {
					last.End = p.End
				}
				continue
			}
		}
		merged = append(merged, p)
	}
	return merged
}

// Choice says how an address is chosen: Held reports whether one is taken, and
// Below gives a random number below n.
type Choice struct {
	Held  func(netip.Addr) bool
	Below func(n uint64) uint64
	// Taken is about how many of the lowest addresses are taken: the first window
	// is twice as wide, so that about every second address in it is free.
	Taken uint64
	// All, where it is set, gives a Held that is quicker for many addresses: it
	// is asked for before a pool is searched one by one.
	All func() func(netip.Addr) bool
}

// Lowest is the pool's lowest free address; false when there is none.
func (p Pool) Lowest(c Choice) (netip.Addr, bool) { return p.scan(c, 0, p.Size()) }

// Random is a free address near the pool's start; false when there is none. It
// looks at a few addresses of the lowest [PoolWindow], or of twice as many as
// are taken, and doubles the window while it finds it full, so that the work
// does not grow with the number of addresses taken. Only a pool that is nearly
// full is searched one by one.
func (p Pool) Random(c Choice) (netip.Addr, bool) {
	size := p.Size()
	window := min(size, max(PoolWindow, 2*c.Taken))
	for probes := poolProbes; ; {
		if window == size {
			probes = lastProbes
		}
		for range probes {
			if a := p.At(c.Below(window)); !c.Held(a) {
				return a, true
			}
		}
		if window == size {
			break
		}
		if window *= 2; window > size || window == 0 {
			window = size
		}
	}
	if c.All != nil {
		c.Held = c.All()
	}
	start := c.Below(size)
	if a, ok := p.scan(c, start, size); ok {
		return a, true
	}
	return p.scan(c, 0, start)
}

// scan finds the lowest free address with an offset of from or more and below to.
func (p Pool) scan(c Choice, from, to uint64) (netip.Addr, bool) {
	for i := from; i < to; i++ {
		if a := p.At(i); !c.Held(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// wide is an address as a number.
type wide struct{ hi, lo uint64 }

func toWide(a netip.Addr) wide {
	b := a.As16()
	if a.Is4() {
		return wide{0, uint64(binary.BigEndian.Uint32(b[12:]))}
	}
	return wide{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (w wide) plus(n uint64) wide {
	lo, carry := bits.Add64(w.lo, n, 0)
	return wide{w.hi + carry, lo}
}

func (w wide) minus(v wide) wide {
	lo, borrow := bits.Sub64(w.lo, v.lo, 0)
	hi, _ := bits.Sub64(w.hi, v.hi, borrow)
	return wide{hi, lo}
}

func (w wide) addr(is4 bool) netip.Addr {
	if is4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(w.lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], w.hi)
	binary.BigEndian.PutUint64(b[8:], w.lo)
	return netip.AddrFrom16(b)
}
