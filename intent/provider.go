package intent

import (
	"maps"
	"slices"

	"neutrino"
	"neutrino/intent/binding"
	"neutrino/store"
)

// takeFlat claims a physical network as a whole, untagged (api.md section 3.1).
func takeFlat(tx *Tx, n *neutrino.Network) error {
	allowed := tx.Config.FlatNetworks
	switch {
	case n.PhysicalNetwork == "":
		return neutrino.Invalidf("physical_network required for flat provider network")
	case n.SegmentationID != 0:
		return neutrino.Invalidf("segmentation_id prohibited for flat provider network")
	case slices.Contains(allowed, n.PhysicalNetwork):
	case !slices.Contains(allowed, AnyPhysicalNetwork) || !reached(tx, n.PhysicalNetwork):
		return neutrino.Invalidf("physical_network '%s' unknown for flat provider network", n.PhysicalNetwork)
	}
	if !tx.Claim(segmentClaim(n), string(n.ID)) {
		return neutrino.Errorf(neutrino.Conflict, "FlatNetworkInUse",
			"Unable to create the flat network. Physical network %s is in use.", n.PhysicalNetwork)
	}
	return nil
}

// takeVLAN claims a VLAN of a physical network: the one that an admin names, or
// a free one of the configured ranges.
func takeVLAN(tx *Tx, n *neutrino.Network) error {
	switch {
	case n.SegmentationID < 0 || n.SegmentationID > neutrino.MaxVLAN:
		return neutrino.Invalidf("segmentation_id out of range (%d through %d)", 1, neutrino.MaxVLAN)
	case n.PhysicalNetwork == "" && n.SegmentationID != 0:
		return neutrino.Invalidf("segmentation_id requires physical_network for VLAN provider network")
	case n.PhysicalNetwork != "" && !hasVLANs(tx, n.PhysicalNetwork):
		return neutrino.Invalidf("physical_network '%s' unknown for VLAN provider network", n.PhysicalNetwork)
	case n.SegmentationID == 0:
		if !freeVLAN(tx, n) {
			return noSegment()
		}
		return nil
	}
	if !tx.Claim(segmentClaim(n), string(n.ID)) {
		return neutrino.Errorf(neutrino.Conflict, "VlanIdInUse",
			"Unable to create the network. The VLAN %d on physical network %s is in use.", n.SegmentationID, n.PhysicalNetwork)
	}
	return nil
}

// hasVLANs reports whether the physical network may have VLAN networks.
func hasVLANs(tx *Tx, physical string) bool {
	if len(tx.Config.NetworkVLANRanges) == 0 {
		return reached(tx, physical)
	}
	_, named := tx.Config.NetworkVLANRanges[physical]
	return named
}

// reached reports whether a live host has a bridge to the physical network.
func reached(tx *Tx, physical string) bool {
	n := neutrino.Network{NetworkType: neutrino.Flat, PhysicalNetwork: physical}
	for h := range store.All(tx.Tx, store.Hosts) {
		if _, ok := binding.Capable(tx, h.Host, &n); ok {
			return true
		}
	}
	return false
}

// freeVLAN claims a random free VLAN of the ranges: of the physical network that
// the network names, or of any.
func freeVLAN(tx *Tx, n *neutrino.Network) bool {
	if n.PhysicalNetwork != "" {
		return freeKey(tx, n, tx.Config.NetworkVLANRanges[n.PhysicalNetwork])
	}
	for _, physical := range slices.Sorted(maps.Keys(tx.Config.NetworkVLANRanges)) {
		n.PhysicalNetwork = physical
		if freeKey(tx, n, tx.Config.NetworkVLANRanges[physical]) {
			return true
		}
	}
	n.PhysicalNetwork = ""
	return false
}
