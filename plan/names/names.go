// Package names spells every device, namespace, bridge, chain and set that a
// plan makes, as operators know them from Neutron, and reads them back
// (dataplane.md sections 1, 3.1 and 3.4).
package names

import (
	"crypto/sha1"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/crypto/blake2b"

	"neutrino"
)

// Lengths that the kernel and Neutron set.
const (
	deviceID  = 11 // characters of a port's id in a device name: 3 + 11 = 14 of 15
	chainID   = 10 // characters of a port's id in a chain name
	wrapLen   = 16 // characters of the wrap prefix, without the dash
	setName   = 29 // characters of an ipset's name
	maxDevice = 15 // IFNAMSIZ - 1
)

// Bridges and patch ports.
const (
	PatchTun = "patch-tun" // on the integration bridge
	PatchInt = "patch-int" // on the tunnel bridge
)

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func device(prefix string, id neutrino.ID) string { return prefix + cut(string(id), deviceID) }

// Tap is the instance's side of the firewall bridge, and the bridge's side of
// a veth pair into a namespace.
func Tap(port neutrino.ID) string { return device("tap", port) }

// QBR is the firewall bridge of a port.
func QBR(port neutrino.ID) string { return device("qbr", port) }

// Every firewall bridge, and every port of one on the integration bridge, in a
// rule of iptables.
const (
	AnyQBR = "qbr+"
	AnyQVO = "qvo+"
)

// QVB is the firewall bridge's end of the veth pair to the integration bridge.
func QVB(port neutrino.ID) string { return device("qvb", port) }

// QVO is the integration bridge's end of that pair.
func QVO(port neutrino.ID) string { return device("qvo", port) }

// NS is the namespace's end of a DHCP port's veth pair.
func NS(port neutrino.ID) string { return device("ns-", port) }

// QR is a router's interface inside its namespace.
func QR(port neutrino.ID) string { return device("qr-", port) }

// QG is a router's gateway interface inside its namespace.
func QG(port neutrino.ID) string { return device("qg-", port) }

// ParseDevice takes a name of the kinds above apart: its prefix and the
// first characters of the port's id. ok is false for any other name.
func ParseDevice(name string) (prefix, id string, ok bool) {
	for _, p := range []string{"tap", "qbr", "qvb", "qvo", "ns-", "qr-", "qg-"} {
		if rest, found := strings.CutPrefix(name, p); found && len(rest) == deviceID {
			return p, rest, true
		}
	}
	return "", "", false
}

// DHCPNamespacePrefix begins the namespace of a network's DHCP server.
const DHCPNamespacePrefix = "qdhcp-"

// DHCPNamespace is the namespace of a network's DHCP server.
func DHCPNamespace(network neutrino.ID) string { return DHCPNamespacePrefix + string(network) }

// RouterNamespacePrefix begins the namespace of a router.
const RouterNamespacePrefix = "qrouter-"

// RouterNamespace is the namespace of a router.
func RouterNamespace(router neutrino.ID) string { return RouterNamespacePrefix + string(router) }

// The patch ports between the integration bridge and a provider bridge.
const (
	intPrefix = "int-"
	phyPrefix = "phy-"
	patchHash = 6 // characters of the digest in a name that would be too long
)

// IntPatch is the integration bridge's patch port to a provider bridge.
func IntPatch(bridge string) string { return patch(intPrefix, bridge) }

// PhyPatch is the provider bridge's patch port to the integration bridge.
func PhyPatch(bridge string) string { return patch(phyPrefix, bridge) }

// patch shortens names over 15 characters with the first digits of the SHA-1
// of the bridge's name, as Neutron does.
func patch(prefix, bridge string) string {
	if len(prefix)+len(bridge) <= maxDevice {
		return prefix + bridge
	}
	digest := sha1.Sum([]byte(bridge))
	return prefix + cut(bridge, maxDevice-len(prefix)-patchHash) + hex.EncodeToString(digest[:])[:patchHash]
}

// Tunnel is the tunnel port to a remote endpoint: the type and the IPv4
// address in hexadecimal, "gre-0a000002", or for IPv6 a digest of its text.
func Tunnel(t neutrino.NetworkType, remote netip.Addr) string {
	if remote.Is4() {
		b := remote.As4()
		return fmt.Sprintf("%s-%x", t, b[:])
	}
	h, _ := blake2b.New(20, nil) // the only error is a bad size
	h.Write([]byte(remote.String()))
	digest := strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)))
	return cut(string(t)+"-"+digest, maxDevice)
}

// Chains spells the iptables chains of one agent.
type Chains struct {
	wrap  string
	first string
}

// OVSChains are the chains of the firewall; first is "neutron" or "quantum".
func OVSChains(first string) Chains {
	return Chains{wrap: cut(first+"-openvswitch-agent", wrapLen), first: first}
}

// DHCPChains are the chains in a DHCP namespace.
func DHCPChains(first string) Chains {
	return Chains{wrap: cut(first+"-dhcp-agent", wrapLen), first: first}
}

// L3Chains are the chains in a router's namespace.
func L3Chains(first string) Chains {
	return Chains{wrap: cut(first+"-l3-agent", wrapLen), first: first}
}

// Forwarding is the chain of one port forwarding: "neutron-l3-agent-pf-1a2b3c4d".
func (c Chains) Forwarding(id neutrino.ID) string { return c.wrap + "-pf-" + cut(string(id), 8) }

// Meters spells the chains that count the traffic of metering labels. The wrap
// prefix of the L3 agent's chains leaves no room for a label's id in the 28
// characters of a chain's name; the metering agent's does.
type Meters struct{ wrap string }

// MeterChains are the chains of metering; first is "neutron" or "quantum".
func MeterChains(first string) Meters { return Meters{wrap: first + "-meter"} }

// Prefix begins the name of every chain of metering.
func (m Meters) Prefix() string { return m.wrap + "-" }

// Top is the chain that leads to those of the labels.
func (m Meters) Top() string { return m.wrap + "-FORWARD" }

// Rules is the chain with a label's rules: "neutron-meter-r-1a2b3c4d-5e".
func (m Meters) Rules(label neutrino.ID) string { return m.wrap + "-r-" + cut(string(label), deviceID) }

// Counter is the chain whose one rule counts a label's traffic.
func (m Meters) Counter(label neutrino.ID) string {
	return m.wrap + "-l-" + cut(string(label), deviceID)
}

// Prefix begins the name of every wrapped chain.
func (c Chains) Prefix() string { return c.wrap + "-" }

// Wrap is a chain of this agent: "neutron-openvswi-FORWARD".
func (c Chains) Wrap(name string) string { return c.wrap + "-" + cut(name, deviceID) }

// In, Out and Spoof are the chains of a port: to it, from it, and its
// anti-spoofing pairs.
func (c Chains) In(port neutrino.ID) string { return c.port("i", port) }

// Out is the chain for what a port sends.
func (c Chains) Out(port neutrino.ID) string { return c.port("o", port) }

// Spoof is the chain with a port's allowed source pairs.
func (c Chains) Spoof(port neutrino.ID) string { return c.port("s", port) }

func (c Chains) port(kind string, port neutrino.ID) string {
	return c.wrap + "-" + kind + cut(string(port), chainID)
}

// FilterTop is the shared unwrapped chain that comes first in FORWARD and OUTPUT.
func (c Chains) FilterTop() string { return c.first + "-filter-top" }

// PostroutingBottom is the shared unwrapped chain that ends POSTROUTING.
func (c Chains) PostroutingBottom() string { return c.first + "-postrouting-bottom" }

// ChainKey is the part of a port's id that its chains carry: two ports with
// one key on a host cannot both be filtered.
func ChainKey(port neutrino.ID) string { return cut(string(port), chainID) }

// Set is the ipset with the addresses of a security group.
func Set(family neutrino.EtherType, group neutrino.ID) string {
	return cut("N"+string(family)+string(group), setName)
}

// Excluded is the ipset with the addresses that a port's pairs cover and that
// are other projects'. No group's id begins with an x.
func Excluded(family neutrino.EtherType, port neutrino.ID) string {
	return cut("N"+string(family)+"x"+string(port), setName)
}
