package subnetpool

import (
	"math"
	"net/netip"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// Request is what a POST of a subnet may say beside its attributes.
type Request struct {
	// PrefixLen is the wanted length of the prefix, nil for the pool's.
	PrefixLen *int
	// Default asks for the default pool of the subnet's IP version.
	Default bool
}

func badSubnet(format string, args ...any) error {
	e := neutrino.Errorf(neutrino.Invalid, "BadRequest", format, args...)
	e.Message = "Bad subnets request: " + e.Message + "."
	return e
}

// Choose sets the pool that the subnet is to be of. Without one there is
// nothing to do.
func Choose(tx *work.Tx, s *neutrino.Subnet, want Request) error {
	switch {
	case want.Default && s.SubnetPoolID != "":
		return badSubnet("subnetpool_id and use_default_subnetpool cannot both be specified")
	case want.Default:
		id, held := tx.Holder(work.DefaultPoolClaim(s.IPVersion))
		p, ok := store.Get(tx.Tx, store.SubnetPools, neutrino.ID(id))
		if !held || !ok || !work.VisibleSubnetPool(tx.Caller, tx.Tx, p) {
			return badSubnet("No default subnetpool found for IPv%d", s.IPVersion)
		}
		s.SubnetPoolID = p.ID
	case want.PrefixLen != nil && s.SubnetPoolID == "":
		return badSubnet("prefixlen can be specified with a subnetpool only")
	}
	if want.PrefixLen != nil && s.CIDR.IsValid() {
		return badSubnet("cidr and prefixlen must not be supplied together")
	}
	if s.SubnetPoolID == "" {
		return nil
	}
	_, err := work.Find(tx, work.SubnetPools(), s.SubnetPoolID)
	return err
}

// Allocate cuts the subnet's prefix from its pool: the one that it names, or a
// free one of the wanted length. Two transactions never take prefixes that
// overlap, and a project never more than its quota. A subnet without a pool is
// left as it is.
func Allocate(tx *work.Tx, s *neutrino.Subnet, want Request) error {
	if s.SubnetPoolID == "" {
		return nil
	}
	p, err := work.Find(tx, work.SubnetPools(), s.SubnetPoolID)
	if err != nil {
		return err
	}
	if p.IPVersion != s.IPVersion {
		return badSubnet("Cannot allocate IPv%d subnet from IPv%d subnet pool", s.IPVersion, p.IPVersion)
	}
	bits := p.DefaultPrefixLen
	switch {
	case s.CIDR.IsValid():
		bits = s.CIDR.Bits()
	case want.PrefixLen != nil:
		bits = *want.PrefixLen
	}
	if err := checkLength(p, bits); err != nil {
		return err
	}
	var taken []netip.Prefix
	for other := range store.By(tx.Tx, store.SubnetsByPool, string(p.ID)) {
		taken = append(taken, other.CIDR)
	}
	free := neutrino.SubtractPrefixes(p.Prefixes, taken)
	if s.CIDR.IsValid() {
		err = takeWanted(tx, p, s, free)
	} else {
		err = takeAny(tx, s, free, bits)
	}
	if err != nil {
		return err
	}
	// Nobody may take what lies around it meanwhile, nor inside of it.
	tx.RequireNoNew(work.PoolInside(p.ID, s.CIDR))
	for l := p.MinPrefixLen; l < s.CIDR.Bits(); l++ {
		tx.RequireNoNew(work.PoolPrefixClaim(p.ID, netip.PrefixFrom(s.CIDR.Addr(), l).Masked()))
	}
	return charge(tx, p, s)
}

func checkLength(p *neutrino.SubnetPool, bits int) error {
	switch {
	case bits < p.MinPrefixLen:
		return neutrino.Errorf(neutrino.Invalid, "MinPrefixSubnetAllocationError",
			"Unable to allocate subnet with prefix length %d, minimum allowed prefix is %d.", bits, p.MinPrefixLen)
	case bits > p.MaxPrefixLen:
		return neutrino.Errorf(neutrino.Invalid, "MaxPrefixSubnetAllocationError",
			"Unable to allocate subnet with prefix length %d, maximum allowed prefix is %d.", bits, p.MaxPrefixLen)
	}
	return nil
}

// takeWanted takes the prefix that the subnet names.
func takeWanted(tx *work.Tx, p *neutrino.SubnetPool, s *neutrino.Subnet, free []netip.Prefix) error {
	s.CIDR = s.CIDR.Masked()
	switch {
	case !neutrino.CoverPrefix(p.Prefixes, s.CIDR):
		return neutrino.Errorf(neutrino.Invalid, "SubnetAllocationError",
			"Failed to allocate subnet: cidr %s is not in the prefixes of subnet pool %s.", s.CIDR, p.ID)
	case !neutrino.CoverPrefix(free, s.CIDR) || !tx.Claim(work.PoolPrefixClaim(p.ID, s.CIDR), string(s.ID)):
		return neutrino.Errorf(neutrino.Conflict, "SubnetAllocationError",
			"Failed to allocate subnet: cidr %s overlaps with another subnet of subnet pool %s.", s.CIDR, p.ID)
	}
	return nil
}

// takeAny takes a free prefix. One that a transaction beside this one is about
// to take is passed over; when all are, the first is waited for.
func takeAny(tx *work.Tx, s *neutrino.Subnet, free []netip.Prefix, bits int) error {
	var first netip.Prefix
	passed := 0
	for c := range neutrino.FreePrefixes(free, bits) {
		if tx.ClaimFree(work.PoolPrefixClaim(s.SubnetPoolID, c), string(s.ID)) {
			s.CIDR = c
			return nil
		}
		if !first.IsValid() {
			first = c
		}
		if passed++; passed == maxPassed {
			break
		}
	}
	if first.IsValid() && tx.Claim(work.PoolPrefixClaim(s.SubnetPoolID, first), string(s.ID)) {
		s.CIDR = first
		return nil
	}
	return neutrino.Errorf(neutrino.Conflict, "SubnetAllocationError",
		"Failed to allocate subnet: Insufficient prefix space to allocate subnet size /%d from subnet pool %s.", bits, s.SubnetPoolID)
}

// maxPassed is how many free prefixes are passed over for others; it is more
// than one process has transactions at a time.
const maxPassed = 4096

// charge counts the subnet against what its project may take from the pool.
// Another subnet of the project's that is made at the same moment makes this run
// again.
func charge(tx *work.Tx, p *neutrino.SubnetPool, s *neutrino.Subnet) error {
	if p.DefaultQuota != nil {
		tx.RequireNoNew(work.PoolUsers(p.ID, s.ProjectID))
		used := units(s.CIDR)
		for other := range store.By(tx.Tx, store.SubnetsByPool, string(p.ID)) {
			if other.ProjectID == s.ProjectID {
				used += units(other.CIDR)
			}
		}
		if used > float64(*p.DefaultQuota) {
			return neutrino.Errorf(neutrino.Conflict, "SubnetPoolQuotaExceeded", "Per-tenant subnet pool prefix quota exceeded.")
		}
	}
	tx.Claim(work.PoolUserClaim(p.ID, s), string(s.ID))
	return nil
}

// units is the size of a prefix in the unit of quotas: addresses of IPv4, /64
// networks of IPv6.
func units(p netip.Prefix) float64 {
	unit := 64
	if p.Addr().Is4() {
		unit = 32
	}
	return math.Ldexp(1, unit-p.Bits())
}

// Release gives a subnet's prefix back to its pool.
func Release(tx *work.Tx, s *neutrino.Subnet) {
	if s.SubnetPoolID == "" {
		return
	}
	tx.Release(work.PoolPrefixClaim(s.SubnetPoolID, s.CIDR))
	tx.Release(work.PoolUserClaim(s.SubnetPoolID, s))
}
