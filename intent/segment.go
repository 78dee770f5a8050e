package intent

import (
	"cmp"
	"slices"

	"neutrino"
)

// segmentProbes is how many random keys are tried before the ranges are
// searched one by one.
const segmentProbes = 64

// takeSegment claims a segment for the network: the one that an admin names, or
// a random free one of the tenants' types (api.md section 3.1).
func takeSegment(tx *Tx, n *neutrino.Network) error {
	if n.NetworkType != "" || n.PhysicalNetwork != "" || n.SegmentationID != 0 {
		return takeProviderSegment(tx, n)
	}
	types := tx.Config.TenantNetworkTypes
	if t := tx.Config.ExternalNetworkType; n.External && t != "" {
		types = []neutrino.NetworkType{t}
	}
	for _, t := range types {
		if freeSegment(tx, n, t) {
			return nil
		}
	}
	return noSegment()
}

func noSegment() error {
	return neutrino.Errorf(neutrino.Unavailable, "NoNetworkAvailable",
		"Unable to create the network. No tenant network is available for allocation.")
}

// takeProviderSegment checks and claims what an admin asked for. A key outside
// of the configured ranges is allowed.
func takeProviderSegment(tx *Tx, n *neutrino.Network) error {
	switch {
	case n.NetworkType == "":
		return neutrino.Invalidf("network_type required")
	case len(tx.Config.NetworkTypes) > 0 && !slices.Contains(tx.Config.NetworkTypes, n.NetworkType):
		return neutrino.Invalidf("network_type value '%s' not supported", n.NetworkType)
	case n.NetworkType == neutrino.Flat:
		return takeFlat(tx, n)
	case n.NetworkType == neutrino.VLAN:
		return takeVLAN(tx, n)
	case !n.NetworkType.IsTunnel() || !enabled(tx.Config, n.NetworkType):
		return neutrino.Invalidf("network_type value '%s' not supported", n.NetworkType)
	case n.PhysicalNetwork != "":
		return neutrino.Invalidf("provider:physical_network specified for %s network", n.NetworkType)
	case n.SegmentationID < 0 || n.SegmentationID > n.NetworkType.MaxSegmentationID():
		return neutrino.Invalidf("segmentation_id out of range (%d through %d)", 1, n.NetworkType.MaxSegmentationID())
	case n.SegmentationID == 0:
		if !freeSegment(tx, n, n.NetworkType) {
			return noSegment()
		}
		return nil
	}
	if !tx.Claim(segmentClaim(n), string(n.ID)) {
		return neutrino.Errorf(neutrino.Conflict, "TunnelIdInUse",
			"Unable to create the network. The tunnel ID %d is in use.", n.SegmentationID)
	}
	return nil
}

// changeSegment gives a VLAN network another VLAN of its physical network, which is
// all that can be changed of a segment (api.md section 2.1). What a request leaves
// empty stays.
func changeSegment(tx *Tx, old, n *neutrino.Network) error {
	if n.SegmentationID == 0 {
		n.SegmentationID = old.SegmentationID
	}
	n.PhysicalNetwork = cmp.Or(n.PhysicalNetwork, old.PhysicalNetwork)
	switch {
	case n.NetworkType != old.NetworkType || n.PhysicalNetwork != old.PhysicalNetwork:
		return neutrino.Invalidf("Plugin does not support updating the following provider network attributes: "+
			"provider:network_type, provider:physical_network; of network %s only provider:segmentation_id can be changed", n.ID)
	case n.SegmentationID == old.SegmentationID:
		return nil
	case n.NetworkType != neutrino.VLAN:
		return neutrino.Invalidf("Only VLAN type networks can be updated: provider:segmentation_id of network %s stays", n.ID)
	}
	if err := takeVLAN(tx, n); err != nil {
		return err
	}
	tx.Release(segmentClaim(old))
	return nil
}

// enabled reports whether the operator gave the type: as a tenants' type or
// with ranges of its own.
func enabled(c *Config, t neutrino.NetworkType) bool {
	return len(c.TunnelRanges[t]) > 0 || slices.Contains(c.TenantNetworkTypes, t)
}

// freeSegment claims a random free segment of the type for the network.
func freeSegment(tx *Tx, n *neutrino.Network, t neutrino.NetworkType) bool {
	was := n.NetworkType
	n.NetworkType = t
	ok := false
	if t == neutrino.VLAN {
		ok = freeVLAN(tx, n)
	} else {
		ok = freeKey(tx, n, tx.Config.TunnelRanges[t])
	}
	if !ok {
		n.NetworkType = was
	}
	return ok
}

// freeKey claims a random free key of the ranges for the network.
func freeKey(tx *Tx, n *neutrino.Network, ranges []Range) bool {
	var total uint64
	for _, r := range ranges {
		total += rangeSize(r)
	}
	if total == 0 {
		return false
	}
	take := func(i uint64, claim func(key, owner string) bool) bool {
		n.SegmentationID = rangeAt(ranges, i)
		return claim(segmentClaim(n), string(n.ID))
	}
	for range min(segmentProbes, total) {
		if take(tx.Rand.Uint64N(total), tx.ClaimFree) {
			return true
		}
	}
	start := tx.Rand.Uint64N(total)
	for i := range total {
		if take((start+i)%total, tx.Claim) {
			return true
		}
	}
	n.SegmentationID = 0
	return false
}

func rangeSize(r Range) uint64 {
	if r.Min < 1 || r.Max < r.Min {
		return 0
	}
	return uint64(r.Max - r.Min + 1)
}

// rangeAt is the i-th key of the ranges together.
func rangeAt(ranges []Range, i uint64) int64 {
	for _, r := range ranges {
		if n := rangeSize(r); i < n {
			return r.Min + int64(i)
		} else {
			i -= n
		}
	}
	return 0
}
