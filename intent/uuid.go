package intent

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"

	"neutrino"
)

// namespaceDNS is the namespace of domain names (RFC 9562, section 6.6).
const namespaceDNS = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

// nameID is the name-based version 5 UUID (RFC 9562, section 5.5) of a name in
// the namespace of domain names.
func nameID(name string) neutrino.ID {
	space, _ := hex.DecodeString(strings.ReplaceAll(namespaceDNS, "-", ""))
	sum := sha1.Sum(append(space, name...))
	// NewID sets the variant and version 4; only the version differs.
	id := []byte(neutrino.NewID([16]byte(sum[:16])))
	id[14] = '5'
	return neutrino.ID(id)
}

// agentID is the ID of an agent. It is made of what the agent is, so that it
// stays when the agent is deleted and comes again.
func agentID(agentType, host string) neutrino.ID {
	return nameID(strings.ReplaceAll(strings.ToLower(agentType), " ", "-") + "." + host)
}

// dhcpDeviceID is the device_id of the DHCP port of a network on a host
// (dataplane.md section 4.1): it is made of the host's name up to the first dot.
func dhcpDeviceID(host string, network neutrino.ID) string {
	short, _, _ := strings.Cut(host, ".")
	return "dhcp" + string(nameID(short)) + "-" + string(network)
}

// defaultGroupID is the ID of a project's default group, known before the group
// is written.
func defaultGroupID(project string) neutrino.ID { return nameID("default-group." + project) }
