// Package pipeline declares the OpenFlow tables of our bridges in order, with
// the numbers and meanings that operators know (dataplane.md section 2).
// Nothing learns: the controller knows every MAC and IP.
package pipeline

import "neutrino"

// Table is one OpenFlow table.
type Table struct {
	Number uint8
	Name   string
	Role   string
}

// The tables of the integration bridge.
var (
	LocalSwitching = Table{0, "LOCAL_SWITCHING", "classify by port; the dead VLAN ends here"}
	ARPSpoof       = Table{24, "ARP_SPOOF", "source of ARP and neighbour advertisements"}
	MACSpoof       = Table{25, "MAC_SPOOF", "source MAC"}
	Transient      = Table{60, "TRANSIENT", "switch by MAC and VLAN"}
)

// Provider is the one table that we use on an operator's provider bridge.
var Provider = Table{0, "PROVIDER", "local VLAN to what the network is on the wire"}

// The tables of the tunnel bridge.
var (
	Classify      = Table{0, "CLASSIFY", "from the integration bridge, or from a tunnel"}
	PatchToTunnel = Table{2, "PATCH_LV_TO_TUN", "unicast, ARP, or flood"}
	GREToLocal    = Table{3, "GRE_TUN_TO_LV", "tunnel key to local VLAN"}
	VXLANToLocal  = Table{4, "VXLAN_TUN_TO_LV", "tunnel key to local VLAN"}
	GeneveToLocal = Table{6, "GENEVE_TUN_TO_LV", "tunnel key to local VLAN"}
	UnicastToTun  = Table{20, "UCAST_TO_TUN", "a known MAC to its host"}
	ARPResponder  = Table{21, "ARP_RESPONDER", "answer for known addresses"}
	FloodToTun    = Table{22, "FLOOD_TO_TUN", "to every host that has the network"}
)

// FromTunnel is the table that a tunnel type's packets enter.
func FromTunnel(t neutrino.NetworkType) Table {
	switch t {
	case neutrino.VXLAN:
		return VXLANToLocal
	case neutrino.Geneve:
		return GeneveToLocal
	}
	return GREToLocal
}
