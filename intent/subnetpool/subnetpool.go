// Package subnetpool is the part of the intent station for subnet pools: stocks
// of addresses, and the subnets that are cut from them.
package subnetpool

import (
	"net/netip"
	"slices"

	"neutrino"
	"neutrino/intent/mark"
	"neutrino/intent/quota"
	"neutrino/intent/rbac"
	"neutrino/intent/work"
	"neutrino/store"
)

// Create makes a pool. Its prefixes are stored compact, and its IP version is
// theirs.
func Create(tx *work.Tx, p neutrino.SubnetPool, set neutrino.Fields) (*neutrino.SubnetPool, error) {
	var err error
	if p.ProjectID, err = tx.ProjectFor(p.ProjectID, set); err != nil {
		return nil, err
	}
	if err := quota.Charge(tx, p.ProjectID, quota.SubnetPool); err != nil {
		return nil, err
	}
	shared := p.Shared
	p.ID, p.Shared = tx.NewID(), false
	if p.Prefixes, p.IPVersion, err = normal(p.Prefixes); err != nil {
		return nil, err
	}
	fillLengths(&p, set)
	if err := checkLengths(&p); err != nil {
		return nil, err
	}
	if err := checkName(&p); err != nil {
		return nil, err
	}
	if err := takeDefault(tx, &p); err != nil {
		return nil, err
	}
	if err := joinScope(tx, &p); err != nil {
		return nil, err
	}
	tx.Born(p.ID, &p.Standard)
	store.Put(tx.Tx, store.SubnetPools, &p)
	if shared {
		err = rbac.Open(tx, rbac.Object{Type: rbac.SubnetPool, ID: p.ID, Project: p.ProjectID}, neutrino.AccessAsShared)
	}
	return &p, err
}

func checkName(p *neutrino.SubnetPool) error {
	if p.Name == "" {
		return neutrino.Invalidf("name of a subnet pool must not be empty")
	}
	return nil
}

// normal checks the prefixes of a pool and gives their compact form.
func normal(list []netip.Prefix) ([]netip.Prefix, int, error) {
	if len(list) == 0 {
		return nil, 0, neutrino.Errorf(neutrino.Invalid, "EmptySubnetPoolPrefixList", "Empty subnet pool prefix list.")
	}
	version := 0
	for _, p := range list {
		a := p.Addr()
		switch {
		case !p.IsValid() || a.Zone() != "" || a.Is4In6():
			return nil, 0, neutrino.Invalidf("'%s' is not a valid IP subnet", p)
		case p.Bits() == 0:
			return nil, 0, neutrino.Invalidf("prefixes: 0 is not allowed as CIDR prefix length")
		case version != 0 && version != familyOf(a):
			return nil, 0, neutrino.Errorf(neutrino.Invalid, "PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")
		}
		version = familyOf(a)
	}
	return neutrino.CompactPrefixes(list), version, nil
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// addressBits is the length of an address of the version.
func addressBits(version int) int {
	if version == 4 {
		return 32
	}
	return 128
}

func fillLengths(p *neutrino.SubnetPool, set neutrino.Fields) {
	if !set.Has("min_prefixlen") {
		p.MinPrefixLen = neutrino.MinPrefixLenIPv6
		if p.IPVersion == 4 {
			p.MinPrefixLen = neutrino.MinPrefixLenIPv4
		}
	}
	if !set.Has("max_prefixlen") {
		p.MaxPrefixLen = addressBits(p.IPVersion)
	}
	if !set.Has("default_prefixlen") {
		p.DefaultPrefixLen = p.MinPrefixLen
	}
}

func checkLengths(p *neutrino.SubnetPool) error {
	bounds := func(what string, n int, base string, m int) error {
		return neutrino.Errorf(neutrino.Invalid, "IllegalSubnetPoolPrefixBounds",
			"Illegal prefix bounds: %s=%d, %s=%d.", what, n, base, m)
	}
	most := addressBits(p.IPVersion)
	switch {
	case p.MinPrefixLen < 0:
		return neutrino.Errorf(neutrino.Invalid, "UnsupportedMinSubnetPoolPrefix",
			"Prefix '%d' not supported in IPv%d pool.", p.MinPrefixLen, p.IPVersion)
	case p.MaxPrefixLen > most:
		return bounds("max_prefixlen", p.MaxPrefixLen, "ip_version_max", most)
	case p.MinPrefixLen > p.MaxPrefixLen:
		return bounds("min_prefixlen", p.MinPrefixLen, "max_prefixlen", p.MaxPrefixLen)
	case p.DefaultPrefixLen < p.MinPrefixLen:
		return bounds("default_prefixlen", p.DefaultPrefixLen, "min_prefixlen", p.MinPrefixLen)
	case p.DefaultPrefixLen > p.MaxPrefixLen:
		return bounds("default_prefixlen", p.DefaultPrefixLen, "max_prefixlen", p.MaxPrefixLen)
	case p.DefaultQuota != nil && *p.DefaultQuota < 0:
		return neutrino.Invalidf("default_quota must be 0 or more")
	}
	return nil
}

// takeDefault makes the pool the one that subnets come from that ask for the
// default pool of an IP version.
func takeDefault(tx *work.Tx, p *neutrino.SubnetPool) error {
	if !p.IsDefault || tx.Claim(work.DefaultPoolClaim(p.IPVersion), string(p.ID)) {
		return nil
	}
	return neutrino.Invalidf("A default subnetpool for this IP family has already been set. Only one default may exist per IP family")
}

// Update changes a pool; change gets a copy. Its prefixes can only grow.
func Update(tx *work.Tx, id neutrino.ID, change func(*neutrino.SubnetPool) error, set neutrino.Fields) (*neutrino.SubnetPool, error) {
	old, err := work.Find(tx, work.SubnetPools(), id)
	if err != nil {
		return nil, err
	}
	p := *old
	if err := change(&p); err != nil {
		return nil, err
	}
	p.Shared = false
	if err := checkName(&p); err != nil {
		return nil, err
	}
	if set.Has("prefixes") {
		if err := growPrefixes(old, &p); err != nil {
			return nil, err
		}
	}
	if err := checkLengths(&p); err != nil {
		return nil, err
	}
	if old.IsDefault && !p.IsDefault {
		tx.Release(work.DefaultPoolClaim(p.IPVersion))
	}
	if !old.IsDefault {
		if err := takeDefault(tx, &p); err != nil {
			return nil, err
		}
	}
	if p.AddressScopeID != old.AddressScopeID || set.Has("prefixes") {
		if err := moveScope(tx, old, &p); err != nil {
			return nil, err
		}
	}
	save(tx, &p)
	if p.AddressScopeID != old.AddressScopeID {
		return &p, mark.JoinPool(tx, id)
	}
	return &p, nil
}

func growPrefixes(old, p *neutrino.SubnetPool) error {
	list, version, err := normal(p.Prefixes)
	switch {
	case err != nil:
		return err
	case version != old.IPVersion:
		return neutrino.Errorf(neutrino.Invalid, "PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")
	}
	for _, had := range old.Prefixes {
		if !neutrino.CoverPrefix(list, had) {
			return illegalPrefixes("Existing prefixes must be a subset of the new prefixes: %s is not in them. Use remove_prefixes to take prefixes away", had)
		}
	}
	p.Prefixes = list
	return nil
}

func illegalPrefixes(format string, args ...any) error {
	e := neutrino.Errorf(neutrino.Invalid, "IllegalSubnetPoolPrefixUpdate", format, args...)
	e.Message = "Illegal update to prefixes: " + e.Message + "."
	return e
}

// save stores a changed copy. Every change of a pool goes through its row, and
// whoever takes a prefix has read it.
func save(tx *work.Tx, p *neutrino.SubnetPool) {
	tx.Touch(p.ID, &p.Standard)
	store.Put(tx.Tx, store.SubnetPools, p)
}

// Delete deletes a pool that no subnet is of. A subnet that is made at the same
// moment makes this run again.
func Delete(tx *work.Tx, id neutrino.ID) error {
	p, err := work.Find(tx, work.SubnetPools(), id)
	if err != nil {
		return err
	}
	for range store.By(tx.Tx, store.SubnetsByPool, string(id)) {
		return neutrino.Errorf(neutrino.Invalid, "SubnetPoolDeleteError",
			"Unable to delete subnet pool: Subnet pool has existing allocations.")
	}
	if p.IsDefault {
		tx.Release(work.DefaultPoolClaim(p.IPVersion))
	}
	rbac.Drop(tx, id)
	store.Delete(tx.Tx, store.SubnetPools, id)
	tx.RequireNone(work.PoolPrefixes(id))
	return nil
}

// AddPrefixes adds prefixes to a pool and gives all that it has then.
func AddPrefixes(tx *work.Tx, id neutrino.ID, list []netip.Prefix) ([]netip.Prefix, error) {
	old, err := work.Find(tx, work.SubnetPools(), id)
	if err != nil {
		return nil, err
	}
	if _, _, err := normal(list); err != nil {
		return nil, err
	}
	p := *old
	p.Prefixes = slices.Concat(old.Prefixes, list)
	if err := growPrefixes(old, &p); err != nil {
		return nil, err
	}
	if err := moveScope(tx, old, &p); err != nil {
		return nil, err
	}
	save(tx, &p)
	return p.Prefixes, nil
}

// RemovePrefixes takes prefixes away from a pool, in which no subnet may be, and
// gives those that are left.
func RemovePrefixes(tx *work.Tx, id neutrino.ID, list []netip.Prefix) ([]netip.Prefix, error) {
	old, err := work.Find(tx, work.SubnetPools(), id)
	if err != nil {
		return nil, err
	}
	gone, version, err := normal(list)
	switch {
	case err != nil:
		return nil, err
	case version != old.IPVersion:
		return nil, illegalPrefixes("the pool has IPv%d prefixes", old.IPVersion)
	}
	tx.RequireNoNew(work.PoolPrefixes(id))
	for s := range store.By(tx.Tx, store.SubnetsByPool, string(id)) {
		for _, g := range gone {
			if s.CIDR.Overlaps(g) {
				return nil, illegalPrefixes("One or more of the prefixes to be removed is in use by a subnet: %s by subnet %s", g, s.ID)
			}
		}
	}
	p := *old
	p.Prefixes = neutrino.SubtractPrefixes(old.Prefixes, gone)
	save(tx, &p)
	return p.Prefixes, nil
}
