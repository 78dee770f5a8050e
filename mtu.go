package neutrino

// NetworkType is how a network's segment is carried: a value of
// provider:network_type.
type NetworkType string

// The network types: those that tenants get (gre, vxlan, geneve), and those of
// provider networks.
const (
	GRE    NetworkType = "gre"
	VXLAN  NetworkType = "vxlan"
	Geneve NetworkType = "geneve"
	Flat   NetworkType = "flat"
	VLAN   NetworkType = "vlan"
)

// TunnelTypes lists every tunnel type, in the order in which help texts and
// pipelines name them.
var TunnelTypes = [...]NetworkType{GRE, VXLAN, Geneve}

// IsTunnel reports whether the type is one of [TunnelTypes].
func (t NetworkType) IsTunnel() bool {
	for _, k := range TunnelTypes {
		if t == k {
			return true
		}
	}
	return false
}

// IsProvider reports whether the type is carried by a physical network.
func (t NetworkType) IsProvider() bool { return t == Flat || t == VLAN }

// MaxVLAN is the highest VLAN of a provider network; 1 is the lowest (IEEE 802.1Q).
const MaxVLAN = 4094

// MaxSegmentationID is the highest key of the type: 2^32-1 for GRE (RFC 2890),
// 2^24-1 for VXLAN and Geneve (RFC 7348, RFC 8926). The lowest is 1.
func (t NetworkType) MaxSegmentationID() int64 {
	if t == GRE {
		return 1<<32 - 1
	}
	return 1<<24 - 1
}

// Overhead is how many bytes of the underlay's MTU a tunnelled frame needs
// beside its payload: inner Ethernet header, tunnel header, and the outer IP
// header of the underlay's IP version (20 bytes for 4, 40 for 6). dataplane.md
// section 7.
func (t NetworkType) Overhead(ipVersion int) int {
	header := map[NetworkType]int{GRE: 22, VXLAN: 30, Geneve: 30}[t]
	if header == 0 {
		return 0
	}
	if ipVersion == 6 {
		return header + 40
	}
	return header + 20
}

// MinMTUIPv4 and MinMTUIPv6 are the smallest MTUs a network with a subnet of
// that family may have (RFC 791, RFC 8200).
const (
	MinMTUIPv4 = 68
	MinMTUIPv6 = 1280
)
